/** Finds the family of bare weights by trying: what every family would ask for is looked up, and the one that leaves nothing over fits. */
import type { Turns } from '../bytes/breath.js';
import { isModelError, ModelError } from '../errors.js';
import type { Architecture, Dim, LayerMap, Notice, Port } from '../model/layer-map.js';
import { didYouMean } from '../model/nearest.js';
import type { Tensor } from '../model/tensor.js';
import { type Description, describedFamily } from './described.js';
import { canonicalOf, type Family, IMAGENET_LABELS, namesOf, preparationOf, type Spelling, sizeKey } from './family.js';
import { framingOf } from './framing.js';
import { CLASSES, ending } from './head.js';
import { ownKerasHead } from './keras-head.js';
import { kerasOrder, mayBeOf, ORDERED_FAMILIES, renamed } from './keras-order.js';
import { families } from './list.js';
import { Departure, isValue, Net, type Value } from './net.js';
import { foldReparametrised } from './reparametrised.js';
import { resembling } from './resemblance.js';
import { kerasStore, type OrderedLayer, stateDictStore, type WeightStore } from './store.js';
import { traceless } from './unseen.js';

export interface RecogniseOptions {
  readonly file: string;
  readonly format: string;
  readonly producer: string | null;
  /** The name of a family, or of one of its published nets. */
  readonly arch?: string;
  /** A net of the user's own. */
  readonly described?: Description;
  /** In the source's layout, batch first. */
  readonly inputShape?: readonly Dim[];
  readonly assume?: Readonly<Record<string, string>>;
  /** What the source says about the ends of the net. */
  readonly inputName?: string;
  readonly outputName?: string;
  readonly softmax?: boolean;
  /** Where in the file all of these weights lie, up to a dot. */
  readonly under?: string;
}

/** What is kept beside a net for its training: weights of classes in a loss, how many nets an average is of. */
const OF_TRAINING = /^((\w+\.)?(criterion|loss|loss_?(fn|func|function)|(train|val)_loss)\.(weight|pos_weight)|n_averaged)$/;

/** What measures a net while it is trained: counts and tables of torchmetrics that were asked to be kept. */
const OF_MEASURING =
  /(^|[._])(acc(uracy)?\d?|metrics?|f1|f1_?score|auroc|auc|iou|confmat|confusion_matrix|precision|recall|(train|val|valid|test)_loss)(_\w+)?\./i;

/** What prepares pictures before a net: a mean and a deviation for each channel (OpenMMLab's data_preprocessor, detectron2's pixel_mean, people's own). */
const OF_PREPARING = /(^|[._])(?<!running_)(mean|std)$/;

/** Nets that no description is of, by names that only they have, and what to do with them. */
const OTHER_NETS: readonly { readonly names: readonly RegExp[]; readonly said: string }[] = [
  {
    names: [/(^|\.)model\.0\.conv\.weight$/, /(^|\.)model\.\d+\.cv1\.conv\.weight$/],
    said: 'they have the names of a YOLO of ultralytics, whose wiring is in its configuration and no weight. `yolo export format=onnx` (or torchscript) writes one that is read.',
  },
  {
    names: [/^lin0\.model\.1\.weight$/, /^lin4\.model\.1\.weight$/],
    said: 'they are the weights by which LPIPS sums distances of features: the net whose features these are (AlexNet, VGG, SqueezeNet) is in a file of its own.',
  },
];

/** How far a family goes with a file. */
interface Attempt {
  readonly family: Family;
  readonly map: LayerMap | null;
  /** Tensors that it understood. */
  readonly used: number;
  /** Where it first departs; null where it fits. */
  readonly departure: string | null;
  /** Where in the file it lies. */
  readonly prefix: string;
  /** The net, where all of it is there and it is only not alone: what is beside it. */
  readonly whole?: { readonly map: LayerMap; readonly beside: readonly string[] };
}

/** Either the net, or what can be said about a file that is none of the known ones. */
export type Recognition = { readonly map: LayerMap; readonly unknown?: never } | { readonly map: null; readonly unknown: string };

/** A state dict, in whatever container it came; weights that are kept apart in it are put together. */
export function* recogniseStateDict(stored: ReadonlyMap<string, Tensor>, options: RecogniseOptions): Turns<Recognition> {
  const { tensors, names } = foldReparametrised(stored);
  const endings = new Endings(tensors.keys());
  const stores = (family: Family, { ecosystem, spell }: Spelling) =>
    prefixesOf(endings, family, spell).map((prefix) => stateDictStore(tensors, spell, ecosystem, prefix));
  const { map, unknown } = yield* recognise(['torchvision', 'timm', 'transformers', 'tensorflow-port'], stores, [...tensors.values()], options);
  if (!map) return { map, unknown: `${unknown}${reparametrised(tensors)}` };
  return { map: { ...map, warnings: [...map.warnings, ...foldedNotice(names)] } };
}

function foldedNotice(names: readonly string[]): Notice[] {
  if (names.length === 0) return [];
  const [first] = names;
  const weights = names.length === 1 ? `"${first}" was` : `${names.length} weights ("${first}", ...) were`;
  return [
    {
      code: 'folded',
      message: `${weights} put together from the parts that weight_norm, spectral_norm or pruning keeps: g · v / |v|, the weight over its norm, or what its mask leaves`,
    },
  ];
}

/** What to do about other weights that a parametrization of PyTorch keeps apart, whose names no net has; '' where there are none. */
function reparametrised(tensors: ReadonlyMap<string, Tensor>): string {
  const name = [...tensors.keys()].find((name) => /(^|\.)(weight_g|weight_orig|parametrizations\.\w+\.original\d*)$/.test(name));
  if (name === undefined) return '';
  return ` "${name}" is of a reparametrised weight whose parts are not known to belong together: save it folded, after torch.nn.utils.parametrize.remove_parametrizations.`;
}

/** A Keras file without a configuration. */
export function* recogniseKeras(layers: readonly OrderedLayer[], theano: boolean, options: RecogniseOptions): Turns<Recognition> {
  const stores = ({ stem }: Family, { spell }: Spelling) => kerasPrefixes(layers, spell(stem) ?? '').map((prefix) => kerasStore(layers, spell, theano, prefix));
  return yield* recognise(
    ['keras'],
    stores,
    layers.flatMap(({ tensors }) => tensors),
    options,
  );
}

/** What is told of a net whose file names no layers. */
const BY_ORDER = 'the file names no layers: those of each class were taken in the order that Keras has them in';

/** A Keras file that has neither a configuration nor names of layers. */
export function* recogniseUnnamedKeras(layers: readonly OrderedLayer[], options: RecogniseOptions): Turns<Recognition> {
  const total = layers.reduce((count, { tensors }) => count + tensors.length, 0);
  const { file, format, producer } = options;
  for (const family of chosenFamilies(options).filter(({ name }) => ORDERED_FAMILIES.has(name))) {
    for (const size of Object.values(family.sizes)) {
      yield;
      const order = kerasOrder((store) => buildNet(family, size, new Net(store), { file, format, producer }), family.name);
      // The sizes of a family have the same classes of layers.
      if (!mayBeOf(layers, order)) break;
      for (const { spell } of family.spellings.filter(({ ecosystem }) => ecosystem === 'keras')) {
        for (const named of renamed(layers, order, spell)) {
          const store = kerasStore(named, spell);
          const measured = family.measure(namesOf(store));
          const { map } = measured === null ? { map: null } : attempt(family, measured, store, total, options);
          if (map) return { map: { ...map, architecture: { ...map.architecture!, assumed: [...map.architecture!.assumed, BY_ORDER] } } };
        }
      }
    }
  }
  return { map: null, unknown: 'they are named by their class and its order alone, and are of no net of keras.applications whose order is known.' };
}

function* recognise(
  ecosystems: readonly string[],
  storesOf: (family: Family, spelling: Spelling) => readonly WeightStore[],
  tensors: readonly Tensor[],
  options: RecogniseOptions,
): Turns<Recognition> {
  const total = tensors.length;
  const attempts: Attempt[] = [];
  for (const family of chosenFamilies(options)) {
    for (const spelling of family.spellings.filter(({ ecosystem }) => ecosystems.includes(ecosystem))) {
      for (const store of storesOf(family, spelling)) {
        yield;
        // Of the spellings of a family the first that fits is its own: the features of a net and its classifier are the same net, less well told.
        if (attempts.some((one) => one.family === family && one.departure === null)) break;
        const size = family.measure(namesOf(store));
        if (size !== null) attempts.push(attempt(family, size, store, total, options));
      }
    }
  }
  const fits = attempts.filter(({ departure }) => departure === null);
  const [best, ...others] = fits;
  if (best) {
    const also = [...new Set(others.map(({ family }) => family.name))].filter((name) => name !== best.family.name);
    const assumed = also.map((name) => `the weights fit ${/^[aeio]/.test(name) ? 'an' : 'a'} ${name} as well; --arch ${name} takes it`);
    const { architecture } = best.map!;
    return { map: { ...best.map!, architecture: { ...architecture!, assumed: [...architecture!.assumed, ...assumed] } } };
  }
  const several = besideOthers(attempts, options);
  if (several) return several;
  const nearest = attempts.toSorted((a, b) => b.used - a.used)[0];
  if (options.described) return { map: null, unknown: `they do not fit ${options.described.name}: ${nearest?.departure ?? 'nothing of it is there'}.` };
  if (options.arch !== undefined) {
    const asked = named(chosenFamilies(options)[0]!);
    const problem = `the weights are not those of ${asked}, which --arch ${options.arch} names: ${nearest?.departure ?? 'nothing of it is there'}`;
    throw new ModelError('usage', problem, { file: options.file });
  }
  const elsewhere = OTHER_NETS.find(({ names }) => names.every((pattern) => tensors.some(({ name }) => pattern.test(name))));
  if (elsewhere) return { map: null, unknown: elsewhere.said };
  const build = (family: Family, size: unknown, net: Net) => buildNet(family, size, net, { ...options, inputShape: undefined });
  const like = nearest ?? (yield* resembling(tensors, ecosystems, build));
  const resembles = like ? ` They are most like those of ${named(like.family)} (${like.family.name}), but ${like.departure}.` : '';
  return { map: null, unknown: `they are of none of the ${families.length} families of nets that are recognised (docs/architectures.md).${resembles}` };
}

/**
 * A file of several nets, or of one and what is not known: the net itself where only a copy of it is kept beside it (an average of its
 * weights), else which there are, and how to take one.
 */
function besideOthers(attempts: readonly Attempt[], { under = '', arch }: RecogniseOptions): Recognition | null {
  const wholes = attempts.filter(({ whole, prefix }) => whole?.beside.every((name) => prefix === '' || !name.startsWith(prefix)));
  const all = [...new Map(wholes.map((one) => [one.prefix, one])).values()];
  // The features of a net are a net as well.
  const nets = all.filter(({ prefix }) => !all.some((other) => other.prefix !== '' && other.prefix !== prefix && prefix.startsWith(other.prefix)));
  const inside = nets.filter(({ prefix }) => prefix !== '');
  const key = ({ prefix }: Attempt) => `${under}${prefix}`.slice(0, -1);
  const outer = nets.find(({ prefix }) => prefix === '');
  if (outer && inside.length > 0) {
    const isCopy = inside.every(({ family }) => family === outer.family);
    if (!isCopy || !outer.whole!.beside.every((name) => inside.some(({ prefix }) => name.startsWith(prefix)))) return null;
    const { map } = outer.whole!;
    const message = `the file holds the same net again under ${inside.map((one) => `"${key(one)}"`).join(', ')}, left out; --weights-key ${key(inside[0]!)} takes that one`;
    return { map: { ...map, warnings: [...map.warnings, { code: 'checkpoint-part-ignored', message }] } };
  }
  const main = outer ? undefined : withoutAverages(inside);
  if (main) {
    const other = inside.find((one) => one !== main)!;
    const message = `the file holds the same net twice: the one under "${key(main)}" is taken, not its average under "${key(other)}"; --weights-key ${key(other)} takes that one`;
    const { map } = main.whole!;
    return { map: { ...map, warnings: [...map.warnings, { code: 'checkpoint-part-ignored', message }] } };
  }
  if (inside.length === 0 || arch !== undefined) return null;
  const [first, ...more] = inside as [Attempt, ...Attempt[]];
  const titles = inside.map((one) => `${named(one.family)} under "${key(one)}"`).join(', ');
  const { beside } = first.whole!;
  const rest = more.length > 0 ? '' : `, and what is of no net that is known beside it (${beside.length}, first "${under}${beside[0]}")`;
  return {
    map: null,
    unknown: `they are not of one net alone: ${titles}${rest}. --weights-key ${key(first)} takes ${more.length > 0 ? 'that one' : 'it'} alone.`,
  };
}

/** A number for each channel of a picture, or for all of them. */
function isPreparing({ name, shape }: Pick<Tensor, 'name' | 'shape'>): boolean {
  return OF_PREPARING.test(name) && shape.every((size) => size <= MOST_CHANNELS) && shape.filter((size) => size > 1).length <= 1;
}
const MOST_CHANNELS = 4;

/** What training code calls the average that it keeps of a net's weights. */
const AVERAGE = /^(ema|ema_model|model_ema|ema_net|averaged_model|swa_model)\./;

/** The net under `model.` (Lightning) or `net.`, where all others are averages of it, and nothing else is in the file. */
function withoutAverages(nets: readonly Attempt[]): Attempt | undefined {
  const [main, ...more] = nets.filter(({ prefix }) => prefix === 'model.' || prefix === 'net.');
  const others = nets.filter((one) => one !== main);
  if (!main || more.length > 0 || others.length === 0) return undefined;
  const areAverages = others.every(({ prefix, family }) => AVERAGE.test(prefix) && family === main.family);
  return areAverages && main.whole!.beside.every((name) => AVERAGE.test(name)) ? main : undefined;
}

function named({ title }: Family): string {
  return `${/^[AEIO]/.test(title) ? 'an' : 'a'} ${title}`;
}

function chosenFamilies({ arch, described, file, under }: RecogniseOptions): readonly Family[] {
  if (described) return [describedFamily(described, under)];
  if (arch === undefined) return families;
  const found = familyNamed(arch);
  if (!found) throw new ModelError('usage', unknownArchitecture(arch), { file });
  return [found.family];
}

/** What is said of a name that neither a family nor a published net has. */
export function unknownArchitecture(name: string): string {
  const names = families.flatMap(({ name: family, sizes }) => [family, ...Object.keys(sizes)]);
  const near = didYouMean(name, names) || ` Known: ${families.map(({ name: family }) => family).join(', ')}, and their published nets.`;
  return `the architecture "${name}" is not known.${near} weighbridge arch lists all of them.`;
}

/** A family, and the size of the published net where one is named: 'resnet', 'resnet50', 'ResNet-50'. */
export function familyNamed(name: string): { family: Family; size: unknown } | null {
  // Without their marks regnet_x_1_6gf and regnet_x_16gf are one.
  const exact = families.find(({ sizes }) => Object.hasOwn(sizes, name));
  if (exact) return { family: exact, size: exact.sizes[name] };
  const plain = (text: string) =>
    text
      .toLowerCase()
      .replace(/^tf_/, '')
      .replace(/[-_. ]/g, '');
  for (const family of families) {
    const size = Object.keys(family.sizes).find((key) => plain(key) === plain(name));
    if (size !== undefined) return { family, size: family.sizes[size] };
    if (plain(family.name) === plain(name) || family.otherNames?.test(name)) return { family, size: Object.values(family.sizes)[0] };
  }
  return null;
}

function attempt(family: Family, size: unknown, store: WeightStore, total: number, options: RecogniseOptions): Attempt {
  const net = new Net(store, { canonical: canonicalOf(family), assume: options.assume, arch: options.arch });
  const used = () => total - store.leftOver().length;
  const { prefix = '' } = store;
  const untouched = used();
  try {
    const built = buildNet(family, size, net, options);
    const left = store
      .leftOver()
      .filter(
        ({ name, shape }) =>
          !(family.training?.test(name) ?? false) &&
          !(family.beyond?.test(name) ?? false) &&
          !(shape.length < 2 && OF_TRAINING.test(name)) &&
          !isPreparing({ name, shape }) &&
          !(OF_MEASURING.test(name) && !/\.(weight|bias)$/.test(name)),
      );
    if (left.length > 0) {
      const others = left.length === 1 ? 'one tensor is none of its own:' : `${left.length} tensors are none of its own, first`;
      const departure = `${others} "${left[0]!.name}" [${left[0]!.shape}]`;
      return { family, map: null, used: used(), departure, prefix, whole: { map: { ...built, warnings: [] }, beside: left.map(({ name }) => name) } };
    }
    checkAssumptions(net, options);
    const beyond = store.leftOver().filter(({ name }) => family.beyond?.test(name) ?? false);
    const preparing = store.leftOver().filter(isPreparing);
    const dropped = store.leftOver().filter((tensor) => !beyond.includes(tensor) && !preparing.includes(tensor));
    const notices: Notice[] =
      dropped.length === 0
        ? []
        : [
            {
              code: 'training-layer-removed',
              message:
                dropped.length === 1
                  ? `"${dropped[0]!.name}", which only training uses or which is worked out from others, is left out of the net`
                  : `${dropped.length} tensors that only training uses, or that are worked out from others, are left out of the net ("${dropped[0]!.name}", ...)`,
            },
          ];
    if (preparing.length > 0) {
      const names = preparing.map(({ name }) => `"${name}"`).join(' and ');
      const message = `${names}: how pictures are prepared before the net, left out; they are to be given so prepared (--embed-preprocessing mean=...,std=... does it in the net)`;
      notices.push({ code: 'checkpoint-part-ignored', message });
    }
    if (beyond.length > 0) {
      const given = built.outputs.map(({ name }) => name).join(', ');
      const message = `${beyond.length} tensors ("${beyond[0]!.name}", ...) are of what comes behind and takes regions as well: left out, and what comes out is ${given}`;
      notices.push({ code: 'checkpoint-part-ignored', message });
    }
    const beside = dropped.filter(({ name }) => family.training?.test(name) ?? false).concat(beyond);
    // Of nets that are no published classifiers, what stands before all names may be their class's own.
    const isPublished =
      OF_CLASSES.has(store.ecosystem) && family.output === undefined && family.labels === undefined && family.classes === undefined && !family.input;
    const isWrapped = isPublished && namesOfWeights(built).every((name) => `.${name}`.includes(`.${prefix}`));
    const more = { ...(isWrapped ? { wrapper: prefix } : {}), ...(beside.length > 0 ? { beside } : {}) };
    const map = { ...built, ...more, warnings: [...otherSize(family, size, options.arch), ...notices] };
    return { family, used: total, departure: null, prefix, map };
  } catch (error) {
    // Layers of one family put together as another's.
    if (isModelError(error, 'malformed') && !options.described && options.arch === undefined)
      return { family, map: null, used: used(), departure: error.message, prefix };
    // The shape is wrong only where the net is the right one; with its usual shape it shows whether it is.
    if (isModelError(error, 'usage') && options.inputShape && options.arch === undefined && !options.described && used() === untouched) {
      const { inputShape, ...usual } = options;
      const again = attempt(family, size, store, total, usual);
      if (again.departure === null) throw error;
      return again;
    }
    if (!(error instanceof Departure)) throw isModelError(error) && options.described ? error.at({ file: options.described.name }) : error;
    return { family, map: null, used: used(), departure: `"${error.path}" ${error.problem}`, prefix };
  }
}

/** Ecosystems whose classes have no name before all others. */
const OF_CLASSES: ReadonlySet<string> = new Set(['torchvision', 'timm']);

/** Of what stands in the file. */
function namesOfWeights({ layers }: LayerMap): string[] {
  const stored = (tensor: Tensor): Tensor[] => (tensor.derived ? tensor.derived.from.flatMap(stored) : tensor.origin.name === undefined ? [] : [tensor]);
  return layers.flatMap(({ weights }) => Object.values(weights).flatMap(stored)).map(({ name }) => name);
}

/** @throws ModelError 'usage' for a word on something that the net does not leave open */
function checkAssumptions(net: Net, { assume = {}, file }: RecogniseOptions): void {
  const unknown = Object.keys(assume).find((name) => !net.settings.has(name));
  if (unknown === undefined) return;
  throw new ModelError(
    'usage',
    `--assume ${unknown}=... says nothing about this net; it leaves open: ${[...net.settings].join(', ') || 'nothing'}, and LAYER.ATTRIBUTE of each of its layers`,
    { file },
  );
}

/** The layer map of a family's net; with a store of weights the net that they make. */
export function buildNet(family: Family, size: unknown, net: Net, options: RecogniseOptions): LayerMap {
  const { store } = net;
  const side = typeof family.side === 'number' ? family.side : family.side(size, store.ecosystem);
  const channels = family.input?.[0] ?? family.channels?.(size) ?? store.shape(family.stem)?.[1] ?? 3;
  const [batch, height, width] = inputSizes(options, store, channels, family.input?.slice(1) ?? [side, side]);
  const x: Value = { name: options.inputName ?? inputName(store), shape: [batch, channels, height, width] };
  if (!options.inputShape && !family.input) net.assume('input', `the input is ${height} x ${width} pixels; --input-shape says otherwise`);
  const built = family.build(net, x, size);
  const several = net.heads ? Object.entries(net.heads) : isValue(built) ? null : Object.entries(built);
  const features = isValue(built) ? built : Object.values(built)[0]!;
  const isPublished = net.endsInClasses;
  let y = isPublished ? features : ownKerasHead(net, features);
  const isPicture = y.shape.length === 4;
  const { lastModule } = net;
  // Keras ends in a softmax unless told; other families have said by themselves what is behind.
  const isKeras = store.ecosystem === 'keras' && net.endsInClasses && !(family.kerasLogits && isPublished);
  const mayEnd = !several && net.endsInClasses && !isKeras && !options.softmax && !net.settings.has('end') && family.output === undefined;
  if (mayEnd) y = ending(net, y, !net.hasOwnHead && y.shape[1] !== 1 && store.ecosystem !== 'keras');
  // Of one number a softmax makes 1, whatever it is.
  const softmax = options.softmax ?? (isKeras && y.shape[1] !== 1);
  if (isKeras && y.shape[1] === 1 && net.setting<string>('head_end', 'sigmoid', 'the only output goes through a {} (or none)') === 'sigmoid')
    y = net.activation(y, 'sigmoid');
  if (softmax) {
    if (options.softmax === undefined) net.assume('softmax', 'the net ends in a softmax');
    y = net.op('Softmax', [y], { axis: isPicture ? 1 : -1 }, { name: 'prob' });
  }
  const nhwc = store.layout === 'nhwc';
  const shape = (dims: readonly Dim[]) => (nhwc && dims.length === 4 ? [dims[0]!, dims[2]!, dims[3]!, dims[1]!] : dims);
  const layout = nhwc ? 'nhwc' : 'nchw';
  const input: Port = { name: x.name, value: x.name, dtype: 'float32', shape: shape(x.shape), layout };
  const output: Port = {
    name: options.outputName
      ? options.outputName
      : family.input
        ? 'output'
        : family.output !== undefined
          ? family.output
          : !net.endsInClasses
            ? 'features'
            : softmax
              ? lastModule
              : 'logits',
    value: y.name,
    dtype: 'float32',
    shape: shape([batch, ...y.shape.slice(1)]),
    layout: isPicture ? layout : 'other',
  };
  const framing = framingOf(store.ecosystem, side, publishedAs(family, size));
  const map: LayerMap = {
    name: family.name,
    format: options.format,
    producer: options.producer,
    architecture: architectureOf(family, size, net, y.shape[1]),
    inputs: [input],
    outputs: several?.map(([name, value]) => ({ ...output, name, value: value.name, shape: shape([batch, ...value.shape.slice(1)]), layout: 'other' })) ?? [
      output,
    ],
    layers: net.layers,
    warnings: [],
    // A description of one's own says nothing of pictures.
    ...(channels === 3 && !family.input
      ? { preparation: preparationOf(family.preprocessing(store.ecosystem, size, store.sourceName(family.stem)), `usual for ${family.title}`, framing) }
      : {}),
  };
  return family.finish?.(map) ?? map;
}

/** What weights say nothing of; a family says all of it. */
const UNSEEN = 'activations, pooling, strides and padding are those of the family: weights leave no trace of them';

function unseen({ activations, layers, numbers }: Net): string[] {
  const [first] = activations;
  const others =
    first === undefined
      ? ''
      : `; of activations there are ${[...activations].join(', ')}, and --assume ${first}=... takes others in the place of each, MODULE.activation=... behind one module`;
  const told = traceless(layers, numbers);
  return [`${UNSEEN}${others}`, ...(told === null ? [] : [told])];
}

function publishedAs(family: Family, size: unknown): string | undefined {
  const wanted = sizeKey(size);
  return Object.entries(family.sizes).find(([, known]) => sizeKey(known) === wanted)?.[0];
}

/** Weights tell their size themselves, so that of `--arch` is a claim of the caller's: it is told where they are another published net of the family. */
function otherSize(family: Family, size: unknown, arch: string | undefined): Notice[] {
  const published = publishedAs(family, size);
  if (published === undefined || arch === undefined || !Object.hasOwn(family.sizes, arch)) return [];
  if (sizeKey(family.sizes[arch]) === sizeKey(size)) return [];
  return [{ code: 'other-size', message: `the weights are those of ${published}, not of ${arch}, which --arch names` }];
}

function architectureOf(family: Family, size: unknown, net: Net, outputs: Dim | undefined): Architecture {
  if (family.input) return { name: family.title, assumed: [...net.assumed.values()] };
  const published = publishedAs(family, size);
  return {
    name: published === undefined ? `${family.title} of no published size` : `${family.title} (${published})`,
    assumed: [...unseen(net), ...net.assumed.values()],
    ...(net.endsInClasses && outputs === (family.classes ?? CLASSES) ? { labels: family.labels ?? IMAGENET_LABELS } : {}),
  };
}

function inputName({ ecosystem }: WeightStore): string {
  return ecosystem === 'keras' ? 'input_1' : ecosystem === 'caffe' ? 'data' : 'input';
}

function inputSizes(
  { inputShape, file }: RecogniseOptions,
  { layout }: WeightStore,
  channels: number,
  usual: readonly number[],
): readonly [Dim, number, number] {
  if (!inputShape) return ['N', usual[0]!, usual[1]!];
  const [batch, ...rest] = inputShape;
  const [c, height, width] = layout === 'nhwc' ? [rest[2], rest[0], rest[1]] : rest;
  if (inputShape.length !== 4 || c !== channels || typeof height !== 'number' || typeof width !== 'number') {
    const example = (layout === 'nhwc' ? ['N', ...usual.slice(0, 2), channels] : ['N', channels, ...usual.slice(0, 2)]).join();
    throw new ModelError(
      'usage',
      `the input shape [${inputShape}] does not fit: four sizes in ${layout} order with ${channels} channels are expected, such as ${example}`,
      { file },
    );
  }
  return [batch!, height, width];
}

/** Where in the state dict the net may lie: what stands before its first convolution. */
function prefixesOf(endings: Endings, { stem }: Family, spell: (path: string) => string | null): string[] {
  if (stem === '') return [''];
  const spelt = spell(stem);
  if (spelt === null) return [];
  const prefixes = new Set(spelt.split('|').flatMap((one) => endings.before(`${one}.weight`)));
  // Blocks of a net may have convolutions of the same name: those that lie deeper are no nets.
  const depth = (prefix: string) => prefix.split('.').length;
  return [...prefixes].sort((a, b) => depth(a) - depth(b)).slice(0, MAX_PREFIXES);
}

/** The names of a file by how they end. Every family asks where its first convolution is, of all spellings: names are gone through once for all of them. */
class Endings {
  readonly #byLast = new Map<string, string[]>();

  constructor(names: Iterable<string>) {
    for (const name of names) {
      const last = lastTwo(name);
      const known = this.#byLast.get(last);
      if (known) known.push(name);
      else this.#byLast.set(last, [name]);
    }
  }

  /** What stands before the ending in names that have it, '' or up to a dot. */
  before(ending: string): string[] {
    const names = this.#byLast.get(lastTwo(ending)) ?? [];
    return names.flatMap((name) => (name === ending ? [''] : name.endsWith(`.${ending}`) ? [name.slice(0, -ending.length)] : []));
  }
}

/** The last two parts of a name: 'conv1.weight'. */
function lastTwo(name: string): string {
  return name.slice(name.lastIndexOf('.', name.lastIndexOf('.') - 1) + 1);
}

/** What may stand before all names of a Keras net: nothing, or what stands before its first convolution's. */
function kerasPrefixes(layers: readonly OrderedLayer[], stem: string): string[] {
  const stems = stem.split('|').filter((one) => one !== '');
  const before = layers.flatMap(({ name }) => stems.filter((one) => name.endsWith(one)).map((one) => name.slice(0, -one.length)));
  return [...new Set(['', ...before])].slice(0, MAX_PREFIXES);
}

/** A net of many nets has as many first convolutions; the first few tell. */
const MAX_PREFIXES = 8;
