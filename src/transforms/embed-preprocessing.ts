/**
 * Puts what is done to pictures in front of a net, so that it takes them as they are: values of 0 to 255, red first. Layers of their own,
 * not folded into the first convolution: its zero padding stands for prepared pixels, and folding would change every border.
 *
 * Three layers at most: a 1 x 1 convolution that reverses the channels, the mean taken off, and the scale.
 */
import { ModelError } from '../errors.js';
import { isFloatDType } from '../model/dtype.js';
import type { Change, Prelude } from '../model/edited.js';
import type { Layer, LayerMap, Port } from '../model/layer-map.js';
import { numbersTensor } from '../model/numbers.js';
import { makeLayer } from '../model/ops/index.js';
import { ownPreparation, picturePort } from '../model/picture-port.js';
import { portValueShape } from '../model/ports.js';
import { type Preparation, rawPreparation } from '../model/preparation.js';
import { sliceAxis, type Tensor } from '../model/tensor.js';

const ORIGIN = { file: 'weighbridge' };

export interface Embedded {
  readonly map: LayerMap;
  /** Null where the net takes pictures as they are already. */
  readonly change: Change | null;
  readonly prelude: Prelude | null;
}

/**
 * @param given what the user says; else what is known of the net
 * @param picture taken off instead of one mean for each channel: [channels, height, width], in the order that the net reads; of a larger one the middle
 * @throws ModelError 'usage' where nothing is known, or the net takes no picture
 */
export function embedPreprocessing(map: LayerMap, given?: Preparation, picture?: Tensor): Embedded {
  const port = floatPort(map);
  const prepared = given ? [] : ownPreparation(map, port);
  if (prepared.length > 0) return unchanged(map, `the net prepares its pictures itself (${prepared.map(({ name }) => `"${name}"`).join(', ')})`);
  const preparation = given ?? map.preparation ?? (picture ? AS_CAFFE : undefined);
  if (!preparation) {
    const told = map.warnings.find(({ code }) => code === 'preprocessing');
    const known = told ? ` ${told.message}.` : '';
    throw new ModelError(
      'usage',
      `what is done to pictures before this net is not known in numbers.${known} Say it with --preprocess, such as mean=103.939,116.779,123.68,order=bgr.`,
    );
  }
  if (preparation.meanFile !== undefined && !picture)
    throw new ModelError(
      'usage',
      `the mean picture of "${preparation.meanFile}" is taken off before this net. Give that file with --mean, or a mean for each channel with --preprocess.`,
    );
  if (picture && preparation.meanFile === undefined && preparation.mean.some((value) => value !== 0) && given)
    throw new ModelError('usage', '--mean takes a picture off, and --preprocess a mean: give one of them.');
  const channels = portValueShape(port)[1] as number;
  const { order, from } = preparation;
  const [mean, scale] = [eachOf(picture ? [0] : preparation.mean, channels, 'mean'), eachOf(preparation.scale, channels, 'scale')];
  const middle = picture && middleOf(picture, port);
  if (order === 'BGR' && channels !== 3) throw new ModelError('usage', `pictures of ${channels} channels have no red and blue to change places`);
  const names = new Set([...map.layers.flatMap((layer) => [layer.name, ...layer.outputs]), ...map.inputs.map(({ value }) => value)]);
  const forward = steps(names, [
    ...(order === 'BGR' ? [reversal('preprocessing/order')] : []),
    ...(middle ? [{ name: 'preprocessing/mean', op: 'Sub', weights: { operand: middle } }] : []),
    ...(mean.some((value) => value !== 0)
      ? [
          eachChannel(
            'preprocessing/mean',
            'Add',
            mean.map((value) => -value),
          ),
        ]
      : []),
    ...(scale.some((value) => value !== 1) ? [eachChannel('preprocessing/scale', 'Mul', scale)] : []),
  ]);
  if (forward.length === 0) return unchanged(map, 'the net takes pictures as they are, values of 0 to 255 and red first');
  const raw = free(names, `${port.value}/picture`);
  const layers = chained(forward, raw, port.value);
  const pictures: Port = { ...port, value: raw };
  const inputs = map.inputs.map((other) => (other === port ? pictures : other));
  const made = { ...map, inputs, layers: [...layers, ...map.layers], preparation: rawPreparation(ITSELF, map.preparation?.framing) };
  const back = steps(names, [
    ...(scale.some((value) => value !== 1)
      ? [
          eachChannel(
            'back/scale',
            'Mul',
            scale.map((value) => 1 / value),
            'float64',
          ),
        ]
      : []),
    ...(middle ? [{ name: 'back/mean', op: 'Add', weights: { operand: middle } }] : []),
    ...(mean.some((value) => value !== 0) ? [eachChannel('back/mean', 'Add', mean, 'float64')] : []),
    ...(order === 'BGR' ? [reversal('back/order')] : []),
  ]);
  const net = { ...map, warnings: [], source: undefined };
  // Any number of pictures at a time, whatever the net takes.
  const [pictured, own] = [inputs, map.inputs].map((ports) =>
    ports.map((each) => ({ ...each, shape: each.shape.map((size, axis) => (axis === 0 ? 'N' : size)) })),
  );
  const prelude: Prelude = {
    forward: { ...net, inputs: pictured!, outputs: own!, layers },
    back: { ...net, inputs: own!, outputs: pictured!, layers: chained(back, port.value, raw) },
  };
  const message = `"${port.name}" takes pictures of 0 to 255, red first, which the net prepares now: ${described(order, mean, scale, middle)} (${from})`;
  return { map: made, prelude, change: { transform: 'embed-preprocessing', message, layers: layers.map(({ name }) => name) } };
}

/** Mean pictures are Caffe's, and so are pictures with their blue first. */
const AS_CAFFE: Preparation = { order: 'BGR', mean: [0], scale: [1], from: 'as Caffe does' };

/**
 * The part of a mean picture that a net sees: Caffe cuts the middle out of both.
 *
 * @throws ModelError 'usage' where the net takes pictures of any size, or larger ones
 */
function middleOf(picture: Tensor, port: Port): Tensor {
  const [channels, ...sizes] = picture.shape as readonly [number, number, number];
  const [, own, ...wanted] = portValueShape(port);
  const isEach = sizes.every((size) => size === 1);
  const fits = wanted.every((size, i) => typeof size === 'number' && size <= sizes[i]!);
  if (channels !== own || (!isEach && !fits)) {
    const problem = `the mean picture is of ${channels} channels and ${sizes.join(' x ')} pixels, and "${port.name}" takes [${[own, ...wanted].join(', ')}]`;
    throw new ModelError('usage', `${problem}: it must have as many channels, and at least as many pixels; --input-shape gives sizes that are free.`, {
      file: picture.origin.file,
    });
  }
  if (isEach) return picture;
  return (wanted as number[]).reduce((part, size, i) => {
    const start = Math.floor((sizes[i]! - size) / 2);
    return sliceAxis(part, i + 1, start, start + size);
  }, picture);
}

const ITSELF = 'the net prepares its pictures itself';

/** @throws ModelError 'usage' where pictures flow into no port, or into one of integers */
function floatPort(map: LayerMap): Port {
  const port = picturePort(map);
  if (!isFloatDType(port.dtype)) throw new ModelError('usage', `"${port.name}" takes ${port.dtype}, and pictures are prepared in floating point.`);
  return port;
}

function unchanged(map: LayerMap, why: string): Embedded {
  return { map, prelude: null, change: { transform: 'embed-preprocessing', message: `${why}: nothing was put in front of it`, layers: [] } };
}

function described(order: Preparation['order'], mean: readonly number[], scale: readonly number[], middle?: Tensor): string {
  const shortly = (values: readonly number[]) =>
    (new Set(values).size === 1 ? values.slice(0, 1) : values).map((value) => Number(value.toPrecision(7))).join(', ');
  return [
    ...(order === 'BGR' ? ['blue first'] : []),
    ...(middle ? [`less the mean picture of ${middle.origin.file}`] : []),
    ...(mean.some((value) => value !== 0) ? [`less ${shortly(mean)}`] : []),
    ...(scale.some((value) => value !== 1) ? [`times ${shortly(scale)}`] : []),
  ].join(', ');
}

/** @throws ModelError 'usage' where there are not as many as channels */
function eachOf(values: readonly number[], channels: number, what: string): number[] {
  if (values.length === 1) return new Array<number>(channels).fill(values[0]!);
  if (values.length === channels) return [...values];
  throw new ModelError('usage', `the ${what} has ${values.length} values, and pictures have ${channels} channels.`);
}

interface Step {
  readonly name: string;
  readonly op: string;
  readonly weights: Readonly<Record<string, Tensor>>;
}

const eachChannel = (name: string, op: string, values: readonly number[], dtype: 'float32' | 'float64' = 'float32'): Step => {
  const { known: _, ...operand } = numbersTensor(name, dtype, [values.length, 1, 1], values, ORIGIN);
  return { name, op, weights: { operand } };
};

/** Blue, green, red of red, green, blue: one product and two with zero, which is exact, and which every target has. */
const reversal = (name: string): Step => {
  const { known: _, ...kernel } = numbersTensor(name, 'float32', [3, 3, 1, 1], [0, 0, 1, 0, 1, 0, 1, 0, 0], ORIGIN);
  return { name, op: 'Conv', weights: { kernel } };
};

function steps(names: Set<string>, wanted: readonly Step[]): Step[] {
  return wanted.map((step) => ({ ...step, name: free(names, step.name) }));
}

/** One after the other, from one value to another. */
function chained(list: readonly Step[], from: string, to: string): Layer[] {
  return list.map(({ name, op, weights }, i) =>
    makeLayer(
      {
        name,
        op,
        inputs: [i === 0 ? from : list[i - 1]!.name],
        outputs: [i === list.length - 1 ? to : name],
        weights,
        attributes: op === 'Conv' ? { kernel_shape: [1, 1] } : {},
      },
      [['N', 3, 'H', 'W']],
    ),
  );
}

function free(names: Set<string>, wanted: string): string {
  let name = wanted;
  for (let i = 2; names.has(name); i++) name = `${wanted}_${i}`;
  names.add(name);
  return name;
}
