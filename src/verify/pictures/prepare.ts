/** Pictures of any size as a net takes them: brought to its size, in its order of channels, less the mean, times the scale. */

import type { Picture } from '../../containers/pictures.js';
import { ModelError } from '../../errors.js';
import type { LayerMap, Port } from '../../model/layer-map.js';
import { ownPreparation, picturePort, withColoursLast } from '../../model/picture-port.js';
import { isChannelsLast, portValueShape } from '../../model/ports.js';
import { type Framing, type GivenPreparation, type Preparation, rawPreparation } from '../../model/preparation.js';
import { type Pixels, resample } from './resample.js';

/** What is done to every picture of a net. */
export interface PicturePlan {
  readonly port: Port;
  readonly width: number;
  readonly height: number;
  readonly channels: 1 | 3;
  readonly values: Preparation;
  /** Null where nothing is known: pictures must then be of the net's size. */
  readonly framing: Framing | null;
}

const SAY_HOW = 'Say it with --preprocess, such as mean=0.485,0.456,0.406,std=0.229,0.224,0.225,range=1,resize=256 or mean=0,resize=stretch';

/**
 * What is known of the net, and what the user says instead of it.
 *
 * @throws ModelError 'usage' where the net takes no pictures, or it is not known what is done to them
 */
export function planPictures(map: LayerMap, given: GivenPreparation = { values: null, framing: {} }): PicturePlan {
  const port = picturePort({ ...map, inputs: map.inputs.map(withColoursLast) });
  const [, channels, height, width] = portValueShape(port);
  if (channels !== 1 && channels !== 3) throw new ModelError('usage', `"${port.name}" takes ${channels} channels, and pictures have one or three.`);
  const own = ownPreparation(map, port).map(({ name }) => `"${name}"`);
  const values = given.values ?? (own.length > 0 ? rawPreparation(`the net prepares them itself: ${own.join(', ')}`) : map.preparation);
  if (!values) throw new ModelError('usage', `what is done to pictures before this net is not known. ${SAY_HOW}.`);
  if (values.meanFile !== undefined)
    throw new ModelError(
      'usage',
      `the mean picture of "${values.meanFile}" is taken off before this net, and pictures are not prepared with one. ${SAY_HOW}; or convert it with --mean first.`,
    );
  for (const [what, { length }] of Object.entries({ mean: values.mean, scale: values.scale }))
    if (length !== 1 && length !== channels) throw new ModelError('usage', `the ${what} has ${length} values, and "${port.name}" takes ${channels} channels.`);
  const known = map.preparation?.framing ?? null;
  // A filter alone does not say how a picture of another shape is cut.
  const framing = known || given.framing.resize !== undefined ? { ...USUAL, ...known, ...given.framing } : null;
  const side = given.framing.crop ?? known?.crop;
  const sizes = [height, width].map((size) => (typeof size === 'number' ? size : side));
  if (sizes.some((size) => size === undefined))
    throw new ModelError('usage', `"${port.name}" takes pictures of any size. Say which: crop=224 in --preprocess, or --input-shape.`);
  if (given.framing.crop !== undefined && sizes.some((size) => size !== given.framing.crop))
    throw new ModelError('usage', `"${port.name}" takes pictures of ${sizes.join(' x ')}, not of ${given.framing.crop} (crop in --preprocess).`);
  if (framing && framing.resize !== 'stretch' && framing.resize < Math.max(...(sizes as number[])))
    throw new ModelError('usage', `pictures of ${framing.resize} pixels cannot be cut to ${sizes.join(' x ')} (resize in --preprocess).`);
  return { port, width: sizes[1]!, height: sizes[0]!, channels, values, framing };
}

const USUAL = { resize: 'stretch', filter: 'bilinear', antialias: true } as const;

/** A sentence for reports. */
export function describePlan({ width, height, channels, values, framing }: PicturePlan): string {
  const { order, mean, scale, from } = values;
  const few = (numbers: readonly number[]) =>
    (new Set(numbers).size === 1 ? numbers.slice(0, 1) : numbers).map((value) => Number(value.toPrecision(6))).join(', ');
  const size = `${width} x ${height}`;
  const how = framing && `${framing.filter}${framing.antialias && framing.filter !== 'nearest' ? ', antialiased' : ''}`;
  return [
    framing === null
      ? `of ${size} pixels`
      : framing.resize === 'stretch'
        ? `brought to ${size} (${how})`
        : `the shorter side brought to ${framing.resize} (${how}), the middle ${size} cut out`,
    channels === 1 ? 'grey' : order === 'BGR' ? 'blue first' : 'red first',
    ...(mean.some((value) => value !== 0) ? [`less ${few(mean)}`] : []),
    ...(scale.some((value) => value !== 1) ? [`times ${few(scale)}`] : []),
    from,
  ].join('; ');
}

/**
 * Writes one prepared picture, in the port's layout.
 *
 * @throws ModelError 'usage' where it is of another size and nobody says how to bring it to the net's
 */
export function preparePicture(picture: Picture, plan: PicturePlan, file: string, target: Float32Array): void {
  const { width, height, channels, values, framing, port } = plan;
  const own = inChannels(picture, channels);
  const framed = framing ? frame(own, width, height, framing) : own;
  if (framed.width !== width || framed.height !== height) {
    const problem = `the picture has ${framed.width} x ${framed.height} pixels, "${port.name}" takes ${width} x ${height}, and how it is brought to that is not known. ${SAY_HOW}.`;
    throw new ModelError('usage', problem, { file });
  }
  const isLast = isChannelsLast(port.layout);
  const size = width * height;
  const each = (list: readonly number[], c: number) => list[list.length === 1 ? 0 : c]!;
  for (let c = 0; c < channels; c++) {
    const from = values.order === 'BGR' && channels === 3 ? 2 - c : c;
    const [mean, scale] = [each(values.mean, c), each(values.scale, c)];
    for (let i = 0; i < size; i++) target[isLast ? i * channels + c : c * size + i] = (framed.data[i * channels + from]! - mean) * scale;
  }
}

/** Grey as PIL makes it (ITU-R 601-2), or grey three times. */
function inChannels({ width, height, channels, data }: Picture, wanted: 1 | 3): Picture {
  if (channels === wanted) return { width, height, channels, data };
  const made = new Uint8Array(width * height * wanted);
  if (wanted === 3) for (let i = 0; i < made.length; i++) made[i] = data[Math.floor(i / 3)]!;
  else for (let i = 0; i < made.length; i++) made[i] = (data[3 * i]! * 19595 + data[3 * i + 1]! * 38470 + data[3 * i + 2]! * 7471 + 0x8000) >> 16;
  return { width, height, channels: wanted, data: made };
}

function frame(picture: Picture, width: number, height: number, framing: Framing): Pixels {
  const { resize } = framing;
  if (resize === 'stretch') return resample(picture, width, height, framing);
  const { width: w, height: h } = picture;
  // The longer side is rounded down, as torchvision does.
  const [wide, high] = w <= h ? [resize, Math.floor((resize * h) / w)] : [Math.floor((resize * w) / h), resize];
  return cutMiddle(resample(picture, wide, high, framing), width, height);
}

function cutMiddle(pixels: Pixels, width: number, height: number): Pixels {
  const { channels, data } = pixels;
  const [left, top] = [roundToEven((pixels.width - width) / 2), roundToEven((pixels.height - height) / 2)];
  const made = data instanceof Uint8Array ? new Uint8Array(width * height * channels) : new Float32Array(width * height * channels);
  for (let y = 0; y < height; y++) {
    const start = ((top + y) * pixels.width + left) * channels;
    made.set(data.subarray(start, start + width * channels), y * width * channels);
  }
  return { width, height, channels, data: made };
}

/** Python's round, which torchvision calls. */
function roundToEven(value: number): number {
  const floor = Math.floor(value);
  return value - floor === 0.5 ? floor + (floor % 2) : Math.round(value);
}
