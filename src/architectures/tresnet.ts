/** TResNet: Ridnik et al., "TResNet: High Performance GPU-Dedicated Architecture", 2020, table 1. Names are timm's. */
import { convNormAct, residual, squeezeExcite } from './blocks.js';
import { family, type Preprocessing } from './family.js';
import { pooledHead } from './head.js';
import { type ConvOptions, type Net, sizeOf, type Value } from './net.js';
import { smaller } from './resnet.js';

interface Size {
  readonly depths: readonly number[];
  /** Channels inside of the blocks of the first stage; each further one has twice as many. */
  readonly width: number;
  /** How many of the stages, from the first, have blocks of two convolutions of 3 x 3. */
  readonly basic: number;
  /** Of the picture, which becomes squares of pixels as channels before anything else. */
  readonly channels: number;
}

const size = (depths: number[], width: number, basic = 2): Size => ({ depths, width, basic, channels: 3 });

/** Pixels on a side of a square. */
const SQUARE = 4;
const EXPANSION = 4;
/** Of the leaky ReLUs in blocks; that of the first convolution has PyTorch's. */
const SLOPE = 1e-3;
/** Of 0 to 1, and no more. */
const PLAIN: Preprocessing = { order: 'RGB', range: [0, 1], mean: [0, 0, 0], std: [1, 1, 1] };

export const tresnet = family<Size>({
  name: 'tresnet',
  title: 'TResNet',
  source: 'Ridnik et al., 2020, https://arxiv.org/abs/2003.13630, table 1',
  sizes: {
    tresnet_m: size([3, 4, 11, 3], 64),
    tresnet_l: size([4, 5, 18, 3], 76),
    tresnet_xl: size([4, 5, 24, 3], 83),
    tresnet_v2_l: size([3, 4, 23, 3], 64, 0),
  },
  stem: 'body.conv1.conv',
  channels: ({ channels }) => channels,
  side: 224,
  preprocessing: () => PLAIN,
  spellings: [{ ecosystem: 'timm', spell: (path) => path }],

  measure(names) {
    const [width, pixels = 0] = names.shape('body.conv1.conv');
    const stages = Array.from({ length: names.count('body.layer{n}.0.conv1.conv', 1) }, (_, s) => s + 1);
    if (!width || pixels % SQUARE ** 2 !== 0 || stages.length === 0) return null;
    return {
      depths: stages.map((s) => names.count(`body.layer${s}.{n}.conv1.conv`)),
      width,
      basic: stages.filter((s) => !names.has(`body.layer${s}.0.conv3`)).length,
      channels: pixels / SQUARE ** 2,
    };
  },

  build(net, input, { depths, width, basic }) {
    const squares = net.op('SpaceToDepth', [input], { blocksize: SQUARE });
    let x = convNormAct(net, squares, 'body.conv1.conv', 'body.conv1.bn', 'leaky-relu', { out: width, kernel: 3 });
    depths.forEach((depth, s) => {
      const planes = width * 2 ** s;
      const block = s < basic ? basicBlock : bottleneck;
      const out = s < basic ? planes : planes * EXPANSION;
      for (let b = 0; b < depth; b++) {
        const at = `body.layer${s + 1}.${b}`;
        const stride = s > 0 && b === 0 ? 2 : 1;
        const isProjected = stride > 1 || sizeOf(x, 1) !== out;
        const around = (y: Value) => {
          if (!isProjected) return y;
          const path = `${at}.downsample.${stride > 1 ? 1 : 0}`;
          const less = stride > 1 ? net.averagePool(y, { kernel: 2, ceil: true }) : y;
          return convNormAct(net, less, `${path}.conv`, `${path}.bn`, 'none', { out });
        };
        const squeezes = s < depths.length - 1;
        x = net.activation(
          residual(net, x, (y) => block(net, y, at, planes, stride, squeezes), around),
          'relu',
        );
      }
    });
    return pooledHead(net, x, 'head.fc');
  },
});

/** What strides is blurred behind its activation, and only then made smaller. */
function activated(net: Net, x: Value, path: string, { stride = 1, ...options }: ConvOptions): Value {
  const y = net.activation(net.norm(net.conv(x, `${path}.conv`, options), `${path}.bn`), 'leaky-relu', undefined, SLOPE);
  return stride > 1 ? smaller(net, y, 'blur') : y;
}

const squeeze = (net: Net, x: Value, at: string, width: number) =>
  squeezeExcite(net, x, { reduce: `${at}.se.fc1`, expand: `${at}.se.fc2`, width: Math.max(64, Math.floor(width)), act: 'relu', gate: 'sigmoid' });

function basicBlock(net: Net, x: Value, at: string, planes: number, stride: number, squeezes: boolean): Value {
  const y = activated(net, x, `${at}.conv1`, { out: planes, kernel: 3, stride });
  const z = convNormAct(net, y, `${at}.conv2.conv`, `${at}.conv2.bn`, 'none', { out: planes, kernel: 3 });
  return squeezes ? squeeze(net, z, at, planes / 4) : z;
}

function bottleneck(net: Net, x: Value, at: string, planes: number, stride: number, squeezes: boolean): Value {
  const y = activated(net, activated(net, x, `${at}.conv1`, { out: planes }), `${at}.conv2`, { out: planes, kernel: 3, stride });
  const z = squeezes ? squeeze(net, y, at, planes / 2) : y;
  return convNormAct(net, z, `${at}.conv3.conv`, `${at}.conv3.bn`, 'none', { out: planes * EXPANSION });
}
