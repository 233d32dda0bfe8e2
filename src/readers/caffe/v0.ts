/**
 * The first syntax of 2013, in which every layer is a connection around a layer with all settings side by side
 * (`layers { layer { name: "conv1" type: "conv" num_output: 96 } bottom: "data" top: "conv1" }`), made the syntax that followed.
 *
 * @see https://github.com/BVLC/caffe/blob/master/src/caffe/util/upgrade_proto.cpp, UpgradeV0Net
 */
import { ModelError, throwAll } from '../../errors.js';
import { type Message, type MessageField, messagesOf, numbersOf, textsOf } from './message.js';
import { SCHEMA } from './schema.js';

/** A type's name today, and where its settings went: old name to the message and field that replaced it. */
interface Upgrade {
  readonly type: string;
  readonly block?: string;
  readonly fields?: Readonly<Record<string, string>>;
}

const WEIGHTED = { num_output: 'num_output', biasterm: 'bias_term', weight_filler: 'weight_filler', bias_filler: 'bias_filler' };
const WINDOWED = { pad: 'pad', kernelsize: 'kernel_size', stride: 'stride' };

const TYPES: Readonly<Record<string, Upgrade>> = {
  accuracy: { type: 'ACCURACY' },
  bnll: { type: 'BNLL' },
  concat: { type: 'CONCAT', block: 'concat_param', fields: { concat_dim: 'concat_dim' } },
  conv: { type: 'CONVOLUTION', block: 'convolution_param', fields: { ...WEIGHTED, ...WINDOWED, group: 'group' } },
  data: { type: 'DATA', block: 'data_param', fields: { source: 'source', batchsize: 'batch_size', rand_skip: 'rand_skip' } },
  dropout: { type: 'DROPOUT', block: 'dropout_param', fields: { dropout_ratio: 'dropout_ratio' } },
  euclidean_loss: { type: 'EUCLIDEAN_LOSS' },
  flatten: { type: 'FLATTEN' },
  hdf5_data: { type: 'HDF5_DATA', block: 'hdf5_data_param', fields: { source: 'source', batchsize: 'batch_size' } },
  hdf5_output: { type: 'HDF5_OUTPUT' },
  im2col: { type: 'IM2COL' },
  images: {
    type: 'IMAGE_DATA',
    block: 'image_data_param',
    fields: { source: 'source', batchsize: 'batch_size', rand_skip: 'rand_skip', shuffle_images: 'shuffle', new_height: 'new_height', new_width: 'new_width' },
  },
  infogain_loss: { type: 'INFOGAIN_LOSS', block: 'infogain_loss_param', fields: { source: 'source' } },
  innerproduct: { type: 'INNER_PRODUCT', block: 'inner_product_param', fields: WEIGHTED },
  lrn: { type: 'LRN', block: 'lrn_param', fields: { local_size: 'local_size', alpha: 'alpha', beta: 'beta', k: 'k' } },
  multinomial_logistic_loss: { type: 'MULTINOMIAL_LOGISTIC_LOSS' },
  pool: { type: 'POOLING', block: 'pooling_param', fields: { ...WINDOWED, pool: 'pool' } },
  relu: { type: 'RELU' },
  sigmoid: { type: 'SIGMOID' },
  softmax: { type: 'SOFTMAX' },
  softmax_loss: { type: 'SOFTMAX_LOSS' },
  split: { type: 'SPLIT' },
  tanh: { type: 'TANH' },
  window_data: {
    type: 'WINDOW_DATA',
    block: 'window_data_param',
    fields: {
      source: 'source',
      batchsize: 'batch_size',
      det_fg_threshold: 'fg_threshold',
      det_bg_threshold: 'bg_threshold',
      det_fg_fraction: 'fg_fraction',
      det_context_pad: 'context_pad',
      det_crop_mode: 'crop_mode',
    },
  },
};

/** Of layers of any type. */
const TRANSFORM: Readonly<Record<string, string>> = { scale: 'scale', meanfile: 'mean_file', cropsize: 'crop_size', mirror: 'mirror' };
const WIRING: ReadonlySet<string> = new Set(['name', 'type', 'blobs_lr', 'weight_decay']);
/** A layer of its own then, which later became a setting of the layer behind it. */
const PADDING = 'padding';

export function isV0(net: Message): boolean {
  return messagesOf(net, 'layers').some((layer) => messagesOf(layer, 'layer').length > 0);
}

/**
 * The net in the syntax of 2014, if it is in that of 2013; else as it is.
 *
 * @throws ModelError 'malformed' where a padding layer does not stand before a convolution or pooling, 'unsupported' for types that never were
 */
export function upgradeV0(net: Message, file: string): Message {
  if (!isV0(net)) return net;
  const errors: ModelError[] = [];
  /** Padding layers by what they make. */
  const paddings = new Map<string, { readonly bottom: string; readonly pad: number }>();
  const fields = net.fields.flatMap((field): MessageField[] => {
    if (field.name !== 'layers' || typeof field.value !== 'object') return [field];
    const [inner] = messagesOf(field.value, 'layer');
    const type = (inner && textsOf(inner, 'type')[0]) ?? '';
    const name = (inner && textsOf(inner, 'name')[0]) ?? '';
    const fail = (kind: 'malformed' | 'unsupported', problem: string) => void errors.push(new ModelError(kind, problem, { file, layer: name }));
    const bottoms = textsOf(field.value, 'bottom');
    const tops = textsOf(field.value, 'top');
    if (inner && type === PADDING) {
      if (bottoms.length === 1 && tops.length === 1) paddings.set(tops[0]!, { bottom: bottoms[0]!, pad: numbersOf(inner, 'pad').at(-1) ?? 0 });
      else fail('malformed', `a padding layer from ${bottoms.length} blobs to ${tops.length}`);
      return [];
    }
    const upgrade = TYPES[type];
    if (!inner || !upgrade) {
      fail('unsupported', `layers of type ${JSON.stringify(type)} were none of Caffe's in 2013, whose syntax this is`);
      return [];
    }
    const padding = bottoms.map((bottom) => paddings.get(bottom)).find((found) => found !== undefined);
    if (padding && (bottoms.length > 1 || (type !== 'conv' && type !== 'pool'))) {
      fail('malformed', `a padding layer before a layer of type "${type}"`);
      return [];
    }
    for (const top of tops) paddings.delete(top);
    return [{ ...field, value: upgradeLayer(field.value, inner, upgrade, padding) }];
  });
  if (errors.length > 0) throwAll(errors, `${file}: this net of 2013 cannot be read:`);
  return { ...net, fields };
}

function upgradeLayer(connection: Message, inner: Message, upgrade: Upgrade, padding: { bottom: string; pad: number } | undefined): Message {
  const outer = connection.fields.filter(({ name }) => name !== 'layer');
  const block: MessageField[] = [];
  const transform: MessageField[] = [];
  const rest: MessageField[] = [];
  for (const field of inner.fields) {
    const target = upgrade.fields?.[field.name];
    if (field.spec === null) rest.push(field);
    else if (target !== undefined) block.push(renamed(field, upgrade.block!, target));
    else if (TRANSFORM[field.name] !== undefined) transform.push(renamed(field, 'transform_param', TRANSFORM[field.name]!));
    // What this type has no setting for stays, as a field that is not known.
    else rest.push(WIRING.has(field.name) ? field : { ...field, spec: null });
  }
  if (padding) block.push(fieldOf(upgrade.block!, 'pad', padding.pad));
  const message = (name: string, fields: readonly MessageField[]): MessageField[] =>
    fields.length === 0 ? [] : [fieldOf('', name, { kind: 'message', type: blockType(name), fields })];
  return {
    kind: 'message',
    type: 'V1Layer',
    fields: [
      ...outer.map((field) => (padding && field.name === 'bottom' ? { ...field, value: padding.bottom } : field)),
      ...rest.filter(({ name }) => name !== 'type'),
      fieldOf('', 'type', upgrade.type),
      ...(upgrade.block ? message(upgrade.block, block) : []),
      ...message('transform_param', transform),
    ],
  };
}

function renamed(field: MessageField, block: string, name: string): MessageField {
  return { ...field, name, spec: specOf(block, name) };
}

function fieldOf(block: string, name: string, value: MessageField['value']): MessageField {
  return { name, spec: specOf(block, name), value, line: 0 };
}

/** @param block name of a layer's message, or '' for the layer itself */
function specOf(block: string, name: string) {
  return SCHEMA.get(block === '' ? 'V1Layer' : blockType(block))!.byName.get(name)!;
}

function blockType(block: string): string {
  return SCHEMA.get('V1Layer')!.byName.get(block)!.type;
}
