/**
 * A whole module that was pickled holds settings that no weight shows. Its wiring is code and is never run, but where its weights are of a
 * net that is recognised, what its modules say of themselves must be what that net has.
 */
import { PickleObject } from '../../containers/pickle/values.js';
import { ModelError } from '../../errors.js';
import type { Layer, LayerMap, Notice } from '../../model/layer-map.js';
import { clipped, listed } from '../../words.js';

/** Modules of torch.nn, and the operators of which a net with one must have some: a pooling over all there is may be said by its size. */
const OPERATORS: Readonly<Record<string, readonly string[]>> = {
  ReLU: ['Relu'],
  LeakyReLU: ['LeakyRelu'],
  PReLU: ['PRelu'],
  ELU: ['Elu'],
  SELU: ['Selu'],
  Tanh: ['Tanh'],
  Softplus: ['Softplus'],
  AvgPool2d: ['AveragePool', 'GlobalAveragePool'],
  MaxPool2d: ['MaxPool'],
};
/** Deeper than modules are nested. */
const MAX_DEPTH = 40;
const MAX_TOLD = 6;

/**
 * @param root the module
 * @returns what is taken for granted
 * @throws ModelError 'unsupported' naming modules that are set otherwise than the net has them
 */
export function checkModules(root: PickleObject, map: LayerMap, file: string): Notice[] {
  const layers = new Map(map.layers.map((layer) => [layer.name, layer]));
  const ops = new Set(map.layers.map(({ op }) => op));
  const found: string[] = [];
  walk(root, '', 0, (path, { type, state }) => {
    const layer = layers.get(path);
    const settings = state as ReadonlyMap<unknown, unknown>;
    const wanted = type.module.startsWith('torch.nn.') && Object.hasOwn(OPERATORS, type.name) ? OPERATORS[type.name]! : [];
    if (wanted.length > 0 && !wanted.some((op) => ops.has(op))) found.push(`"${path}" is a ${type.name}`);
    else if (layer?.op === 'BatchNormalization' && /^BatchNorm\dd$/.test(type.name))
      found.push(...differing(path, [['eps', settings.get('eps'), layer.attributes.epsilon]]));
    else if (layer?.op === 'Conv' && /^torch\.nn\.modules\.conv$/.test(type.module)) found.push(...ofConvolution(path, settings, layer));
  });
  const name = clipped(root.type.name);
  if (found.length > 0) {
    const told = listed(found.slice(0, MAX_TOLD)) + (found.length > MAX_TOLD ? `, and ${found.length - MAX_TOLD} more` : '');
    throw new ModelError(
      'unsupported',
      `the file is a whole ${name} of PyTorch whose modules are set otherwise than in the net that its weights are of: ${told}. Its wiring is code that is never run: save torch.jit.trace(model, example).save("model.pt"), or torch.export.save`,
      { file },
    );
  }
  return [
    { code: 'assumed', message: `the file is a whole ${name} of PyTorch, whose wiring is code that is never run; it is taken to be the published net's` },
  ];
}

function ofConvolution(path: string, settings: ReadonlyMap<unknown, unknown>, { attributes }: Layer): string[] {
  const pads = attributes.pads as readonly number[] | undefined;
  return differing(path, [
    ['stride', settings.get('stride'), attributes.strides],
    ['dilation', settings.get('dilation'), attributes.dilations],
    ['groups', settings.get('groups'), attributes.group],
    // Where a net pads as TensorFlow does, a module of its own does it.
    ['padding', (attributes.auto_pad ?? 'NOTSET') === 'NOTSET' ? settings.get('padding') : undefined, pads?.slice(0, pads.length / 2)],
    ['padding_mode', settings.get('padding_mode'), 'zeros'],
  ]);
}

/** Settings that both sides tell, and tell otherwise. */
function differing(path: string, settings: readonly (readonly [name: string, said: unknown, own: unknown])[]): string[] {
  const isNumbers = (value: unknown) => typeof value === 'number' || (Array.isArray(value) && value.every((one) => typeof one === 'number'));
  return settings.flatMap(([name, said, own]) => {
    const isKnown = (isNumbers(said) && isNumbers(own)) || (typeof said === 'string' && typeof own === 'string');
    return isKnown && String(said) !== String(own) ? [`"${path}" has ${name} ${String(said)}, the net ${String(own)}`] : [];
  });
}

function walk(module: PickleObject, path: string, depth: number, visit: (path: string, module: PickleObject) => void): void {
  if (depth > MAX_DEPTH || !(module.state instanceof Map)) return;
  visit(path, module);
  const inner = module.state.get('_modules');
  const entries = inner instanceof Map ? inner : inner instanceof PickleObject && inner.items instanceof Map ? inner.items : new Map<unknown, unknown>();
  for (const [name, child] of entries) if (child instanceof PickleObject) walk(child, path === '' ? String(name) : `${path}.${String(name)}`, depth + 1, visit);
}
