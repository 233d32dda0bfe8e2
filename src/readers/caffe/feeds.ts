/** What layers that feed a net say about their pictures: how large they are, and what is done to them first. */
import type { Notice } from '../../model/layer-map.js';
import type { Preparation } from '../../model/preparation.js';
import { V1_TYPES } from './enums.js';
import { type Message, messagesOf, textsOf } from './message.js';
import { Params } from './params.js';
import type { CaffeLayer } from './topology.js';

/** Blocks of data layers; before 2014 some held what is in `transform_param` since. */
const BLOCKS = ['data_param', 'image_data_param', 'window_data_param'] as const;

export interface FeedSize {
  /** Null where only the weights can tell. */
  readonly channels: number | null;
  readonly height: number;
  readonly width: number;
}

/** Everything that is said about pictures, read for one layer. */
export class Feed {
  readonly #params: Params;
  readonly #transform: Params;
  readonly #blocks: readonly Params[];

  constructor(readonly layer: Pick<CaffeLayer, 'name' | 'type' | 'message' | 'tops'>) {
    this.#params = new Params(layer.message);
    this.#transform = this.#params.child('transform_param');
    this.#blocks = BLOCKS.map((name) => this.#params.child(name));
  }

  /** The size that one of the layer's tops has, without the batch; null where it is not said. */
  size(top: number): FeedSize | readonly number[] | null {
    return this.#declared(top) ?? this.#pictures();
  }

  /** Of an Input layer. */
  inputShapes(): number[][] {
    return this.#params
      .child('input_param')
      .children('shape')
      .map((shape) => shape.numbers('dim'));
  }

  /** What feeds the net: 'Data', 'Python (module.layer)'. */
  kind(): string {
    const python = this.#params.child('python_param');
    return python.exists ? `${this.layer.type} (${python.word('module', '?')}.${python.word('layer', '?')})` : this.layer.type;
  }

  /** Fields whose meaning is not known, and which may change what the net is given. */
  unaccounted(): string[] {
    this.size(0);
    this.preparation();
    this.#params.child('dummy_data_param').children('data_filler');
    this.#params.child('hdf5_data_param');
    this.#params.child('annotated_data_param');
    this.kind();
    return this.#params.unaccounted();
  }

  /** What is done to each picture before the net sees it, in this order. */
  preparation(): string[] {
    const [data, images, windows] = this.#blocks as [Params, Params, Params];
    const resize = this.#transform.child('resize_param');
    const [height, width] = [images.number('new_height', 0), images.number('new_width', 0)];
    const number = (name: string) => this.#first(name, (params) => params.numbers(name).at(-1));
    const scale = number('scale') ?? 1;
    const meanFile = this.#first('mean_file', (params) => params.words('mean_file').at(-1));
    const means = this.#transform.numbers('mean_value');
    const crop = this.#crop();
    const isGrey = this.#transform.flag('force_gray', false) || !images.flag('is_color', true);
    const isColour = this.#transform.flag('force_color', false) || data.flag('force_encoded_color', false);
    const random = ['noise_param', 'distort_param', 'expand_param'].filter((name) => this.#transform.has(name));
    const context = windows.number('context_pad', 0);
    const mode = windows.word('crop_mode', 'warp');
    return [
      ...(isGrey ? ['makes it grey'] : isColour ? ['makes it coloured'] : []),
      ...(height > 0 && width > 0 ? [`resizes it to ${height} x ${width}`] : []),
      ...(resize.exists ? [`resizes it to ${resize.number('height', 0)} x ${resize.number('width', 0)} (${resize.word('resize_mode', 'WARP')})`] : []),
      ...(context > 0 ? [`adds ${context} pixels of context`] : []),
      ...(mode !== 'warp' ? [`cuts windows out as "${mode}"`] : []),
      ...random.map((name) => `changes it at random (${name})`),
      ...(crop ? [`cuts ${crop.height} x ${crop.width} out of it`] : []),
      ...(this.#first('mirror', (params) => params.flag('mirror', false) || undefined) ? ['mirrors some at random'] : []),
      ...(meanFile === undefined ? [] : [`subtracts the mean picture of "${meanFile}"`]),
      ...(means.length === 0 ? [] : [`subtracts ${means.map(shortly).join(', ')} ${means.length === 1 ? 'from every channel' : 'from the channels'}`]),
      ...(scale === 1 ? [] : [`multiplies by ${shortly(scale)}`]),
    ];
  }

  /** The same in numbers: mean, or the file of a mean picture, and scale; null where none of them is said. */
  numbers(): { readonly mean: readonly number[]; readonly scale: number; readonly meanFile?: string } | null {
    const scale = this.#first('scale', (params) => params.numbers('scale').at(-1)) ?? 1;
    const mean = this.#transform.numbers('mean_value');
    const meanFile = this.#first('mean_file', (params) => params.words('mean_file').at(-1));
    if (meanFile === undefined && mean.length === 0 && scale === 1) return null;
    return { mean: mean.length === 0 ? [0] : mean, scale, ...(meanFile === undefined ? {} : { meanFile }) };
  }

  #declared(top: number): FeedSize | readonly number[] | null {
    const memory = this.#params.child('memory_data_param');
    const [channels, height, width] = ['channels', 'height', 'width'].map((name) => memory.number(name, 0)) as [number, number, number];
    const dims = memory.numbers('dim').slice(1);
    const dummy = this.#params.child('dummy_data_param');
    const shapes = dummy.children('shape').map((shape) => shape.numbers('dim'));
    const older = ['channels', 'height', 'width'].map((name) => dummy.numbers(name));
    if (dims.length > 0) return dims;
    if (channels > 0 && height > 0 && width > 0) return { channels, height, width };
    const shape = shapes[top] ?? shapes[0];
    if (shape) return shape.slice(1);
    return older.every((sizes) => sizes.length > 0) ? older.map((sizes) => sizes[top] ?? sizes[0]!) : null;
  }

  #pictures(): FeedSize | null {
    const [data, images] = this.#blocks as [Params, Params];
    const resize = this.#transform.child('resize_param');
    const isGrey = this.#transform.flag('force_gray', false) || !images.flag('is_color', true);
    const isColour = this.#transform.flag('force_color', false) || data.flag('force_encoded_color', false);
    const channels = isGrey ? 1 : isColour ? 3 : null;
    const candidates = [
      this.#crop(),
      { height: resize.number('height', 0), width: resize.number('width', 0) },
      { height: images.number('new_height', 0), width: images.number('new_width', 0) },
    ];
    const found = candidates.find((candidate) => candidate && candidate.height > 0 && candidate.width > 0);
    return found ? { channels, ...found } : null;
  }

  #crop(): { readonly height: number; readonly width: number } | null {
    const [height, width] = ['crop_h', 'crop_w'].map((name) => this.#transform.number(name, 0)) as [number, number];
    if (height > 0 && width > 0) return { height, width };
    const side = this.#first('crop_size', (params) => params.numbers('crop_size').at(-1)) ?? 0;
    return side > 0 ? { height: side, width: side } : null;
  }

  /** A setting of `transform_param`, or where it was before. */
  #first<T>(name: string, read: (params: Params) => T | undefined): T | undefined {
    const found = [this.#transform, ...this.#blocks].map((params) => (params.has(name) ? read(params) : undefined));
    return found.find((value) => value !== undefined);
  }
}

/** Says what is done to pictures before they reach the net: none of it is part of the net. */
export function preparationNotices(layers: readonly Pick<CaffeLayer, 'name' | 'type' | 'message' | 'tops'>[], where: string): Notice[] {
  const told = new Set<string>();
  return layers.flatMap((layer): Notice[] => {
    const steps = new Feed(layer).preparation();
    const text = steps.join(', ');
    if (steps.length === 0 || told.has(text)) return [];
    told.add(text);
    const message = `${where} prepares each picture before the net sees it: it ${text}. This is no part of the net, so whoever feeds the result must do it`;
    return [{ code: 'preprocessing', message, layer: layer.name }];
  });
}

/** Caffe's pictures have their blue first, as OpenCV reads them. */
export function feedPreparation(layers: readonly Pick<CaffeLayer, 'name' | 'type' | 'message' | 'tops'>[], channels: unknown): Preparation | null {
  for (const layer of layers) {
    const numbers = new Feed(layer).numbers();
    if (numbers) return { ...numbers, order: channels === 3 ? 'BGR' : 'RGB', scale: [numbers.scale], from: `as the layer "${layer.name}" does` };
  }
  return null;
}

/** The layers of a whole description that say something about pictures, those of the TEST phase first. */
export function describedFeeds(net: Message): Pick<CaffeLayer, 'name' | 'type' | 'message' | 'tops'>[] {
  const layers = [...messagesOf(net, 'layer'), ...messagesOf(net, 'layers')].filter(
    (message) => messagesOf(message, 'bottom').length === 0 && textsOf(message, 'bottom').length === 0,
  );
  const isTest = (message: Message) => messagesOf(message, 'include').some((rule) => textsOf(rule, 'phase').includes('TEST'));
  return layers
    .map((message) => {
      const type = textsOf(message, 'type')[0] ?? '';
      return { name: textsOf(message, 'name')[0] ?? '', type: V1_TYPES[type] ?? type, message, tops: textsOf(message, 'top'), first: isTest(message) };
    })
    .sort((a, b) => Number(b.first) - Number(a.first));
}

/** As many digits as a float32 is sure of. */
function shortly(value: number): string {
  return String(Number(value.toPrecision(7)));
}
