/** NASNet-A: Zoph et al., "Learning Transferable Architectures for Scalable Image Recognition", 2017, figures 2 and 4; as keras.applications has it. */
import { convNormAct } from './blocks.js';
import { family, SYMMETRIC } from './family.js';
import { pooledHead } from './head.js';
import { type Net, sizeOf, type Value } from './net.js';

interface Size {
  /** Normal cells in each of the three groups. */
  readonly cells: number;
  /** Channels of the first convolution, and of each branch of the first group's cells. */
  readonly stem: number;
  readonly filters: number;
}

const EPSILON = 1e-3;

export const nasnet = family<Size>({
  name: 'nasnet',
  title: 'NASNet-A',
  source: 'Zoph et al., 2017, https://arxiv.org/abs/1707.07012, figure 4',
  sizes: { nasnet_mobile: { cells: 4, stem: 32, filters: 44 }, nasnet_large: { cells: 6, stem: 96, filters: 168 } },
  stem: 'stem_conv1',
  side: ({ cells }) => (cells > 4 ? 331 : 224),
  preprocessing: () => SYMMETRIC,
  spellings: [{ ecosystem: 'keras', spell: (path) => path }],

  measure(names) {
    if (!names.has('stem_conv1') || !names.has('reduction_conv_1_stem_1')) return null;
    const cells = names.count('normal_conv_1_{n}');
    return { cells, stem: names.shape('stem_conv1')[0]!, filters: names.shape('normal_conv_1_0')[0] ?? 0 };
  },

  build(net, input, { cells, stem, filters }) {
    const skips = net.setting<string>(
      'skip_reduction',
      cells > 4 ? 'true' : 'false',
      'the cell behind a reduction looks past it to the cell before the last (true: NASNet Large; false: NASNet Mobile): {}',
    );
    let x = convNormAct(net, input, 'stem_conv1', 'stem_bn1', 'none', { out: stem, kernel: 3, stride: 2, pad: 0, epsilon: EPSILON });
    /** What flowed into the cell before. */
    let before: Value | null = null;
    const step = (cell: typeof normalCell, width: number, id: string, keepsBefore = false) => {
      const made = cell(net, x, before, width, id);
      if (!keepsBefore) before = x;
      x = made;
    };
    step(reductionCell, filters / 4, 'stem_1');
    step(reductionCell, filters / 2, 'stem_2');
    for (let group = 0; group < 3; group++) {
      if (group > 0) step(reductionCell, filters * 2 ** group, `reduce_${group * cells}`, skips === 'true');
      for (let i = 0; i < cells; i++) step(normalCell, filters * 2 ** group, String(group * (cells + 1) - (group > 1 ? 1 : 0) + i));
    }
    return pooledHead(net, net.activation(x, 'relu'), 'predictions');
  },
});

/** Twice: ReLU, separable convolution, normalisation. */
function separables(net: Net, x: Value, out: number, kernel: number, id: string, stride = 1): Value {
  const one = (y: Value, i: number, stride: number) =>
    net.norm(net.separable(net.activation(y, 'relu'), `separable_conv_${i}_${id}`, { out, kernel, stride }), `separable_conv_${i}_bn_${id}`, EPSILON);
  return one(one(x, 1, stride), 2, 1);
}

/** 1 x 1 convolution of what a ReLU lets through. */
function squeezed(net: Net, x: Value, out: number, conv: string, norm: string): Value {
  return convNormAct(net, net.activation(x, 'relu'), conv, norm, 'none', { out, epsilon: EPSILON });
}

/** What came before, in the size of what flows in: every second place, twice with one shifted by one; or in other channels. */
function adjusted(net: Net, before: Value | null, x: Value, filters: number, id: string): Value {
  if (before === null) return x;
  if (sizeOf(before, 2) !== sizeOf(x, 2)) {
    const seen = net.activation(before, 'relu');
    const [height, width] = [sizeOf(seen, 2), sizeOf(seen, 3)];
    const padded = net.op('Pad', [seen], { pads: [0, 0, 0, 0, 0, 0, 1, 1] });
    const shifted = net.slice(net.slice(padded, 2, 1, height + 1), 3, 1, width + 1);
    const halves = [seen, shifted].map((y, i) =>
      net.conv(net.averagePool(y, { kernel: 1, stride: 2 }), `adjust_conv_${i + 1}_${id}`, { out: Math.floor(filters / 2), pad: 0 }),
    );
    return net.norm(net.concat(halves), `adjust_bn_${id}`, EPSILON);
  }
  return sizeOf(before, 1) === filters ? before : squeezed(net, before, filters, `adjust_conv_projection_${id}`, `adjust_bn_${id}`);
}

function normalCell(net: Net, x: Value, before: Value | null, filters: number, id: string): Value {
  const p = adjusted(net, before, x, filters, id);
  const h = squeezed(net, x, filters, `normal_conv_1_${id}`, `normal_bn_1_${id}`);
  const branch = (y: Value, kernel: number, place: string) => separables(net, y, filters, kernel, `normal_${place}_${id}`);
  const mean = (y: Value) => net.averagePool(y, { kernel: 3, stride: 1, same: true });
  return net.concat([
    p,
    net.add(branch(h, 5, 'left1'), branch(p, 3, 'right1')),
    net.add(branch(p, 5, 'left2'), branch(p, 3, 'right2')),
    net.add(mean(h), p),
    net.add(mean(p), mean(p)),
    net.add(branch(h, 3, 'left5'), h),
  ]);
}

function reductionCell(net: Net, x: Value, before: Value | null, filters: number, id: string): Value {
  const p = adjusted(net, before, x, filters, id);
  const h = squeezed(net, x, filters, `reduction_conv_1_${id}`, `reduction_bn_1_${id}`);
  const branch = (y: Value, kernel: number, place: string, stride = 2) => separables(net, y, filters, kernel, `reduction_${place}_${id}`, stride);
  // Zeros around, as many as a window of three at every second place wants: they count, as the least value and in the mean.
  const [top, left] = [sizeOf(h, 2) % 2, sizeOf(h, 3) % 2];
  const framed = net.op('Pad', [h], { pads: [0, 0, top, left, 0, 0, 1, 1] });
  const most = () => net.maxPool(framed, { kernel: 3, stride: 2 });
  const first = net.add(branch(h, 5, 'left1'), branch(p, 7, 'right1'));
  const second = net.add(most(), branch(p, 7, 'right2'));
  const third = net.add(net.averagePool(framed, { kernel: 3, stride: 2 }), branch(p, 5, 'right3'));
  const fourth = net.add(second, net.averagePool(first, { kernel: 3, stride: 1, same: true }));
  const fifth = net.add(branch(first, 3, 'left4', 1), most());
  return net.concat([second, third, fourth, fifth]);
}
