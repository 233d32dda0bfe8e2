/** Makes the layer map of a TorchScript program: its method `forward`, followed from its inputs to what it returns. */
import { PickleObject } from '../../containers/pickle/index.js';
import type { Expression, Parameter } from '../../containers/torchscript/syntax.js';
import { ModelError, throwAll } from '../../errors.js';
import type { Turns, Value } from '../../model/builder.js';
import { type DType, isFloatDType } from '../../model/dtype.js';
import type { Dim, LayerMap, Notice, Port } from '../../model/layer-map.js';
import { Names } from '../../model/names.js';
import { inferMap } from '../../model/ops/index.js';
import { inputLayout } from '../../model/ports.js';
import { listed } from '../../words.js';
import type { Workshop } from './call.js';
import { CountingBuilder } from './constants.js';
import { Interpreter, type Program } from './interpreter.js';
import { type Item, knownScalar, List, numberOf, ObjectItem, TensorItem, Tuple, typeName, Unknown, Untold } from './items.js';
import { Obstacles } from './operators.js';

export interface ProgramOptions {
  readonly file: string;
  readonly producer: string | null;
  readonly inputShape: readonly Dim[] | undefined;
  /** What a recording knows of the inputs, which a program says neither shape nor dtype of. */
  readonly recordedInputs?: readonly { readonly name: string | null; readonly dtype: DType; readonly shape: readonly Dim[] }[] | undefined;
  /** What floating weights are of. */
  readonly floats?: DType;
  readonly inference: boolean;
  /** What the file leaves open, by the name of the assumption. */
  readonly assume?: Readonly<Record<string, string>> | undefined;
}

/** @throws ModelError 'unsupported' listing every obstacle, 'unsafe' for a program that takes more work than any net's */
export function* buildTorchMap(program: Program, root: unknown, options: ProgramOptions): Turns<LayerMap> {
  const { file } = options;
  if (!(root instanceof PickleObject)) throw new ModelError('malformed', 'the file holds no module', { file });
  const shop = newWorkshop(file, options.inference, program.version);
  const obstacles = new Obstacles();
  const interpreter = new Interpreter(program, shop, obstacles);
  const self = new ObjectItem(root, '');
  try {
    const { code, file: codeFile } = interpreter.classOf(self);
    const forward = code.methods.get('forward');
    if (!forward) throw new ModelError('unsupported', `its class ${code.name} has no method "forward"`);
    const { inputs, args, warnings } = takeInputs(forward.parameters.slice(1), shop, options);
    const returned = yield* interpreter.run(self, forward, codeFile, args);
    failWith(obstacles, shop);
    return { ...finish(shop, inputs, outputsOf(returned ?? null, shop, obstacles), options), warnings: [...warnings, ...noticesOf(shop)] };
  } catch (error) {
    throw error instanceof ModelError ? error.at({ file }) : error;
  }
}

export function newWorkshop(file: string, inference: boolean, version: number): Workshop {
  const work = { elements: 0, operators: 0 };
  return { build: new CountingBuilder({ file }, work), work, inference, version, training: [], notices: [], path: '', isLeaf: false };
}

/** @throws ModelError where there is an obstacle */
export function failWith(obstacles: Obstacles, shop: Workshop): void {
  if (shop.training.length > 0 && !shop.inference) {
    throw new ModelError(
      'unsupported',
      `${shop.training.length} calls act as in training: ${listed(shop.training)}. Save the model after model.eval(), or convert it with --inference, which has them act as in inference`,
    );
  }
  if (obstacles.errors.length > 0) throwAll(obstacles.errors, 'this program cannot be translated:');
}

/** What is told of a program beside its layers. */
export function noticesOf(shop: Workshop): Notice[] {
  if (shop.training.length === 0) return shop.notices;
  const what = `${shop.training.length} calls act as in training in the file, and as in inference here: ${listed(shop.training)}`;
  return [{ code: 'inference', message: what }, ...shop.notices];
}

interface Inputs {
  readonly inputs: readonly Value[];
  readonly args: readonly Item[];
  readonly warnings: readonly Notice[];
}

/**
 * What flows in: tensors become inputs, all else must be what it is when nobody gives it. The shape of the first is the input shape; of the others,
 * and of what they hold, the assumptions tell ('shape_mask', 'dtype_mask').
 */
function takeInputs(parameters: readonly Parameter[], { build }: Workshop, options: ProgramOptions): Inputs {
  const inputs: Value[] = [];
  const args: Item[] = [];
  const left: string[] = [];
  const missing: string[] = [];
  const assumed: string[] = [];
  const { floats = 'float32' } = options;
  const recorded = recordedFor(parameters, options);
  for (const { name, type, usual } of parameters) {
    if (usual) {
      left.push(name);
      break;
    }
    if (!isTensorType(type)) throw new ModelError('unsupported', `its input "${name}" is no tensor, but ${spelt(type)}`);
    const shape = shapeFor(name, args.length === 0, options) ?? recorded.get(name)?.shape;
    const dtype = options.assume?.[`dtype_${name}`];
    if (dtype !== undefined && !isInputType(dtype))
      throw new ModelError('usage', `dtype_${name} is ${JSON.stringify(dtype)}; it is one of ${INPUT_TYPES.join(', ')}`);
    const known = dtype ?? recordedDType(recorded.get(name)?.dtype);
    if (known === undefined) assumed.push(`"${name}"`);
    if (!shape) missing.push(name);
    const value = build.input(name, known ?? floats, shape ?? []);
    inputs.push(value);
    args.push(new TensorItem(value, null, true));
  }
  if (inputs.length === 0) throw new ModelError('unsupported', 'nothing flows into it');
  if (missing.length > 0) throw shapesMissing(inputs[0]!.name, missing);
  const warnings: Notice[] = [];
  if (assumed.length > 0)
    warnings.push({ code: 'assumed', message: `a program does not say what its input holds: ${listed(assumed)} is taken to be of ${floats}` });
  if (left.length > 0) warnings.push({ code: 'assumed', message: `its argument "${left[0]}" and those behind it are left out, as when nobody gives them` });
  return { inputs, args, warnings };
}

/** By name; where the recording calls them otherwise, in their order, if there is one for each. */
function recordedFor(parameters: readonly Parameter[], { recordedInputs = [] }: ProgramOptions) {
  const names = parameters.filter(({ usual }) => !usual).map(({ name }) => name);
  const isNamed = recordedInputs.some(({ name }) => name !== null && names.includes(name));
  const those = isNamed || recordedInputs.length === names.length ? recordedInputs : [];
  return new Map(those.map((one, i) => [isNamed ? one.name : names[i]!, one]));
}

/** Arrays of doubles are what NumPy makes where nobody asks for another dtype: floats say nothing of the net, whose weights do. */
function recordedDType(dtype: DType | undefined): DType | undefined {
  return dtype !== undefined && isFloatDType(dtype) ? undefined : dtype;
}

function shapesMissing(first: string, missing: readonly string[]): ModelError {
  const names = missing.map((name) => `"${name}"`);
  const how = missing.map((name) => (name === first ? '--input-shape, as in --input-shape 1,3,224,224' : `--assume shape_${name}=1,3,224,224`));
  const few = how.length > 8 ? [...how.slice(0, 8), 'so on'] : how;
  return new ModelError('unsupported', `a program does not say the shape of what flows in (${listed(names)}); give it with ${few.join(' and ')}`);
}

function shapeFor(name: string, isFirst: boolean, { inputShape, assume }: ProgramOptions): readonly Dim[] | undefined {
  const told = assume?.[`shape_${name}`];
  if (told === undefined) return isFirst ? inputShape : undefined;
  return told.split(',').map((part): Dim => {
    const size = Number(part);
    if (/^[A-Za-z_]\w*$/.test(part)) return part;
    if (!Number.isInteger(size) || size < 1)
      throw new ModelError('usage', `shape_${name} is ${JSON.stringify(told)}: sizes are whole numbers with commas between them`);
    return size;
  });
}

const INPUT_TYPES = ['float32', 'float64', 'float16', 'int64', 'int32', 'uint8', 'bool'] as const;

function isInputType(name: string): name is (typeof INPUT_TYPES)[number] {
  return INPUT_TYPES.some((known) => known === name);
}

function isTensorType(type: Expression | null): boolean {
  return type === null || (type.kind === 'name' && type.name === 'Tensor');
}

function spelt(type: Expression | null): string {
  if (type?.kind === 'name') return type.name;
  return type?.kind === 'element' && type.of.kind === 'name' ? `${type.of.name}[...]` : 'something else';
}

/** Whether a place of an input's first axis behind the first is read by itself: a batch of one has none. */
export function readsRowsApart(map: LayerMap): boolean {
  const types = inferMap(map);
  const inputs = new Set(map.inputs.map(({ value }) => value));
  return map.layers.some(({ op, inputs: [table, places], attributes }) => {
    if (op !== 'Gather' || attributes.axis !== 0 || table === undefined || places === undefined || !inputs.has(table)) return false;
    return types.get(places)?.elements?.some((place) => typeof place === 'number' && place > 0) ?? false;
  });
}

export interface Output {
  readonly name: string;
  readonly value: Value;
}

/** The tensors in what a program returns, by their place or name. */
export function outputsOf(returned: Item, shop: Workshop, obstacles: Obstacles): readonly Output[] {
  const found: Output[] = [];
  const walk = (given: Item, name: string, depth: number): void => {
    const item = given instanceof Untold && given.make ? given.told() : given;
    if (item === null || depth > 8) return;
    if (item instanceof TensorItem) found.push({ name, value: item.value });
    else if (item instanceof List || item instanceof Tuple) {
      const fields = item instanceof Tuple ? item.fields : null;
      item.items.forEach((one, i) => {
        walk(one, fields?.[i] ?? (name === 'output' ? `output_${i}` : `${name}_${i}`), depth + 1);
      });
    } else if (item instanceof Map) for (const [key, one] of item) walk(one, typeof key === 'string' ? key : `${name}_${String(key)}`, depth + 1);
    else {
      const scalar = item instanceof Unknown ? null : knownScalar(item);
      if (item instanceof Untold) obstacles.add(new ModelError('unsupported', item.obstacle), 'returned', '');
      else if (scalar === null) obstacles.add(new ModelError('unsupported', `it returns ${typeName(item)}, which is no tensor`), 'forward', '');
      else found.push({ name, value: shop.build.numbers(typeof scalar === 'object' ? 'float32' : 'int64', numberOf(scalar)) });
    }
  };
  walk(returned, 'output', 0);
  failWith(obstacles, shop);
  if (found.length === 0) throw new ModelError('unsupported', 'it returns no tensor');
  return found;
}

/** The map, once everything has been followed. */
export function finish({ build }: Workshop, inputs: readonly Value[], outputs: readonly Output[], { producer }: Pick<ProgramOptions, 'producer'>): LayerMap {
  const layers = build.finish(outputs.map(({ value }) => value));
  const names = new Names(2);
  const ports = outputs.map(({ name, value }): Port => {
    if (value.dtype === null || value.shape === null) throw new ModelError('unsupported', `of which shape its output "${name}" is cannot be worked out`);
    return { name: names.take(name), value: build.flowing(value), dtype: value.dtype, valueDType: value.dtype, shape: value.shape, layout: 'other' };
  });
  return {
    name: '',
    format: 'pytorch',
    producer,
    architecture: null,
    inputs: inputs.map((value) => ({
      name: value.name,
      value: value.name,
      dtype: value.dtype!,
      valueDType: value.dtype!,
      shape: value.shape!,
      layout: inputLayout(value, layers),
    })),
    outputs: ports,
    layers,
    warnings: [],
  };
}
