/**
 * Writes a layer map as a Python module: plain `torch.nn`, one line a layer, whose state dict is the file beside it.
 *
 * @see https://pytorch.org/docs/stable/nn.html
 */
import { STORAGE_CLASSES } from '../../containers/pickle-writer.js';
import { ModelError } from '../../errors.js';
import { isFloatDType } from '../../model/dtype.js';
import type { Layer, LayerMap } from '../../model/layer-map.js';
import { Names } from '../../model/names.js';
import { withKnown } from '../../model/numbers.js';
import { beyondPlain, bindSlots, inferMap, operatorOf, type ValueType } from '../../model/ops/index.js';
import { elementCount, hasOwnShape, permute, reshape, type Tensor } from '../../model/tensor.js';
import { operatorInWords } from '../../words.js';
import { DERIVED, partsOf } from './derived.js';
import type { Expression, Operands } from './expression.js';
import { EXPRESSIONS } from './expressions.js';
import { torchDType } from './graph-expressions.js';
import { HELPERS, helpersFor } from './helpers.js';
import { docText, isStateName, OF_MODULES, pythonNumber, pythonText, pythonTuple } from './python.js';

export interface StateName {
  readonly layer: Layer;
  readonly role: string;
  /** In the state dict. */
  readonly name: string;
  /** As the state dict has it: the weight, or one of those that it is worked out from. */
  readonly tensor: Tensor;
}

export interface PythonModule {
  readonly source: string;
  /** Each weight of the map under its name in the state dict; layers that share a module share its names. */
  readonly state: readonly StateName[];
  /** What the net's own class has beside those, under the names that the state dict has for them. */
  readonly beside: readonly Tensor[];
}

/** What PyTorch's modules call their weights. */
const STATE_ROLES: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  Conv: { kernel: 'weight', bias: 'bias' },
  ConvTranspose: { kernel: 'weight', bias: 'bias' },
  Gemm: { kernel: 'weight', bias: 'bias' },
  BatchNormalization: { scale: 'weight', bias: 'bias', mean: 'running_mean', variance: 'running_var' },
  Gather: { table: 'weight' },
};

/** @param map one without obstacles */
export function writeModule(map: LayerMap): PythonModule {
  const builder = new ModuleBuilder(map, inferMap(map));
  return { source: builder.source(), state: builder.state, beside: builder.beside };
}

/** The names that layers' weights have in the state dict; those of operators without an expression are in none that was written. */
export function stateOf(layers: readonly Layer[]): readonly StateName[] {
  return new ModuleBuilder({ name: '', inputs: [], outputs: [], layers: layers.filter(({ op }) => Object.hasOwn(EXPRESSIONS, op)) }).state;
}

/** A layer's weight as the state dict has it. */
export function storedWeight(layer: Layer, role: string): Tensor {
  const tensor = layer.weights[role]!;
  return formOf(layer, tensor)?.stored(tensor) ?? tensor;
}

/** How modules keep a weight that the map has otherwise, and what makes the map's of theirs. */
interface StoredForm {
  stored(tensor: Tensor): Tensor;
  /** The map's again, from what a file has. */
  back(stored: Tensor): Tensor;
  readonly used: string;
}

const turned = (matrix: Tensor) => (matrix.shape.length === 2 ? permute(matrix, [1, 0]) : matrix);

export function formOf(layer: Layer, tensor: Tensor): StoredForm | null {
  const { name, shape } = tensor;
  if (hasOwnShape(tensor)) return ownForm(tensor);
  // A matrix under the name that PyTorch gives to those of nn.Linear is [out, in] there, whatever multiplies by it; the map's products want [in, out].
  if (isLinear(layer, tensor)) return { stored: turned, back: turned, used: '.t()' };
  if (!ARITHMETIC.has(layer.op) && layer.op !== 'PRelu') return null;
  // Scales and shifts of channels are lists in PyTorch's modules.
  const isColumn = shape.length > 1 && shape[0]! > 1 && shape.slice(1).every((size) => size === 1);
  const back = (stored: Tensor) => reshape(stored, shape);
  if (isColumn && CHANNELS.test(name)) return { stored: (own) => reshape(own, [shape[0]!]), back, used: `[:${', None'.repeat(shape.length - 1)}]` };
  // But for torchvision's ConvNeXt.
  if (shape.length === 1 && name.endsWith('.layer_scale')) return { stored: (own) => reshape(own, [...shape, 1, 1]), back, used: '.flatten()' };
  return null;
}

/** The shape in the state dict that it came from. */
function ownForm({ shape, stored }: Tensor): StoredForm {
  const { shape: own, turned: isTurned } = stored!;
  if (!isTurned) return { stored: (tensor) => reshape(tensor, own), back: (tensor) => reshape(tensor, shape), used: `.reshape(${pythonTuple(shape)})` };
  const before = shape.toReversed();
  return {
    stored: (tensor) => reshape(permute(tensor, [1, 0]), own),
    back: (tensor) => permute(reshape(tensor, before), [1, 0]),
    used: `.reshape(${pythonTuple(before)}).t()`,
  };
}

const ARITHMETIC: ReadonlySet<string> = new Set(['Add', 'Sub', 'Mul', 'Div', 'Pow']);

/**
 * A number that a net calculates with stands in the code: the classes of published nets have no parameter for it. One that was learned has the
 * name of a state dict.
 */
export function literalOf({ op }: Layer, { name, known, dtype, shape }: Tensor): string | null {
  const [value] = known ?? [];
  if (!ARITHMETIC.has(op) || dtype !== 'float32' || shape.length > 1 || known?.length !== 1 || !Number.isFinite(value)) return null;
  return isStateName(name) && !OWN_NAME.test(name) ? null : pythonNumber(Math.fround(value!));
}

/** More numbers than the code of a module should be made of. */
const MAX_CONSTANT = 2 ** 16;

/** Whether a description of an architecture brings it along: published nets work it out, and have no parameter for it. */
export function isConstant({ known, origin, dtype }: Tensor): boolean {
  return origin.file === '' && dtype === 'float32' && known !== undefined && known.length <= MAX_CONSTANT && known.every(Number.isFinite);
}

function constantOf({ known = [], shape }: Tensor): string {
  const [first = 0] = known;
  if (known.every((value) => value === first)) return `torch.full(${pythonTuple(shape)}, ${shortNumber(first)})`;
  return `torch.tensor([${known.map(shortNumber).join(', ')}]).reshape(${pythonTuple(shape)})`;
}

/** With no more digits than a float32 has; never a whole number, of which PyTorch would make integers. */
function shortNumber(value: number): string {
  const short = String(Number(Math.fround(value).toPrecision(9)));
  return /^-?\d+$/.test(short) ? `${short}.0` : short;
}

/** The same layers with the single numbers at hand that they calculate with; layers that share one go on sharing it. */
export async function withNumbers(layers: readonly Layer[]): Promise<readonly Layer[]> {
  const numbers = new Map<Tensor, Promise<Tensor>>();
  const settled = async (layer: Layer): Promise<Layer> => {
    const { operand } = layer.weights;
    if (!operand || !ARITHMETIC.has(layer.op) || elementCount(operand.shape) !== 1) return layer;
    const known = numbers.get(operand) ?? withKnown(operand);
    numbers.set(operand, known);
    return { ...layer, weights: { ...layer.weights, operand: await known } };
  };
  return Promise.all(layers.map(settled));
}

/** What PyTorch's nets call their scales and shifts of channels. */
const CHANNELS = /[._](weight|bias)$|\.(gamma|scale|layer_scale_?\d)$/;

/** What this project itself calls numbers. */
const OWN_NAME = /(^|\.)(add|sub|mul|div|pow|epsilon)(\.operand)?(_\d+)?$/;

/** Every layer that has no expression in PyTorch. */
export function moduleObstacles(map: LayerMap): ModelError[] {
  return map.layers.flatMap((layer) => {
    const expression = EXPRESSIONS[layer.op];
    const problem = expression && !layer.foreign ? obstacleOf(layer, expression) : `${operatorInWords(layer)} has no translation to torch.nn`;
    return problem ? [new ModelError('unsupported', problem, { layer: layer.name })] : [];
  });
}

function obstacleOf(layer: Layer, { isGeneral, isTuple, obstacle }: Expression): string | null | undefined {
  const beyond = isGeneral ? null : beyondPlain(layer);
  if (beyond !== null) return `${layer.op} ${beyond}, which has no translation to torch.nn`;
  if (layer.outputs.length !== 1 && !isTuple) return `${layer.op} has ${layer.outputs.length} outputs, which has no translation to torch.nn`;
  return obstacle?.(layer);
}

class ModuleBuilder {
  readonly state: StateName[] = [];
  readonly beside: Tensor[] = [];
  readonly #init: string[] = [];
  readonly #forward: string[] = [];
  readonly #variables = new Map<string, string>();
  readonly #names = new Names();
  readonly #paths = new Names();
  /** Modules that are there, by what they are and the weights that they have, so that a shared layer stays one. */
  readonly #modules = new Map<string, string>();
  readonly #numbers = new Map<unknown, number>();
  #helpers = new Set<string>();
  #hasBuffers = false;

  /** @param types of values, where a number's kind decides how it is computed */
  constructor(
    readonly map: Pick<LayerMap, 'name' | 'inputs' | 'outputs' | 'layers' | 'beside'>,
    readonly types: ReadonlyMap<string, ValueType> = new Map(),
  ) {
    const functions = Object.values(DERIVED).map((made) => made.function);
    for (const word of ['self', 'torch', 'nn', 'F', 'put', 'Model', ...Object.keys(HELPERS), ...functions]) this.#names.take(word);
    const inputs = map.inputs.map((port) => this.#variable(port.value, port.name));
    for (const layer of map.layers) this.#layer(layer);
    for (const tensor of map.beside ?? []) this.#beside(tensor);
    const outputs = map.outputs.map(({ value }) => this.#variables.get(value)!);
    this.#forward.unshift(`    def forward(self, ${inputs.join(', ')}):`);
    this.#forward.push(`        return ${outputs.join(', ')}`);
  }

  source(): string {
    const shapes = (ports: LayerMap['inputs']) =>
      ports.map(({ name, layout }) => `${pythonText(name)}${layout === 'other' ? '' : ', channels first'}`).join('; ');
    const ports = `Takes ${shapes(this.map.inputs)}; gives ${shapes(this.map.outputs)}.`;
    return [
      `"""${docText(this.map.name || 'model')}: generated by weighbridge; load its weights with`,
      '',
      'model = Model()',
      'model.load_state_dict(torch.load("<the .pth beside this file>", weights_only=True))',
      'model.eval()',
      '"""',
      'import torch',
      'import torch.nn.functional as F',
      'from torch import nn',
      '',
      '',
      `def put(root, path, module${this.#hasBuffers ? ', persistent=True' : ''}):`,
      '    """Makes `module` the submodule of that path, with plain modules between."""',
      '    *parents, last = path.split(".")',
      '    for name in parents:',
      '        if name not in root._modules:',
      '            root.add_module(name, nn.Module())',
      '        root = root._modules[name]',
      '    if isinstance(module, nn.Parameter):',
      '        root.register_parameter(last, module)',
      ...(this.#hasBuffers ? ['    elif isinstance(module, torch.Tensor):', '        root.register_buffer(last, module, persistent)'] : []),
      '    else:',
      '        root.add_module(last, module)',
      '',
      '',
      ...[...this.#helpers].flatMap((helper) => [helper, '', '']),
      'class Model(nn.Module):',
      `    """${ports}"""`,
      '',
      '    def __init__(self):',
      '        super().__init__()',
      ...this.#init.map((line) => `        ${line}`),
      '',
      ...this.#forward,
      '',
    ].join('\n');
  }

  #layer(layer: Layer): void {
    const { module, call, helpers, isTuple }: Expression = EXPRESSIONS[layer.op]!;
    for (const name of helpers?.(layer) ?? []) for (const one of helpersFor(name)) this.#helpers.add(HELPERS[one]!);
    // Where layers are asked about alone, nothing makes what they read.
    const inputs = layer.inputs.map((value) => (value === '' ? undefined : (this.#variables.get(value) ?? '_')) as string);
    const made = module?.(layer) ?? null;
    const self = made === null ? null : this.#module(layer, made);
    const used = (role: string) => {
      const tensor = layer.weights[role]!;
      const parts = partsOf(tensor);
      // What is made of nothing goes where the picture is.
      if (parts) return `${this.#derived(layer, role, tensor)}${parts.length === 0 ? `.to(${inputs[0]})` : ''}`;
      if (isConstant(tensor) && literalOf(layer, tensor) === null) return this.#constant(layer, role, tensor);
      return literalOf(layer, tensor) ?? `${this.#parameter(layer, role)}${formOf(layer, tensor)?.used ?? ''}`;
    };
    const parameters = Object.fromEntries(made === null ? Object.keys(layer.weights).map((role) => [role, used(role)]) : []);
    const slots = made === null ? (bindSlots(operatorOf(layer.op)!, layer, inputs, (_, slot) => parameters[slot]!) as Operands['slots']) : {};
    const expression = call(layer, { inputs, self, slots, typeOf: (i) => this.types.get(layer.inputs[i]!) });
    const outputs = layer.outputs.map((value, i) => this.#variable(value, i === 0 ? layer.name : `${layer.name}_${i}`));
    this.#forward.push(`        ${outputs.join(', ')} = ${expression}${isTuple && outputs.length === 1 ? '[0]' : ''}`);
  }

  /** The expression of the layer's module. */
  #module(layer: Layer, made: string): string {
    const roles = STATE_ROLES[layer.op]!;
    const key = JSON.stringify([made, Object.entries(layer.weights).map(([role, tensor]) => [role, this.#number(tensor)])]);
    const known = this.#modules.get(key);
    if (known !== undefined) {
      this.#stateOf(layer, roles, known);
      return `self.get_submodule(${pythonText(known)})`;
    }
    const path = this.#paths.take(this.#ownPath(layer, roles) ?? pathOf(layer.name));
    this.#modules.set(key, path);
    this.#init.push(`put(self, ${pythonText(path)}, ${made})`);
    this.#stateOf(layer, roles, path);
    return `self.get_submodule(${pythonText(path)})`;
  }

  #stateOf(layer: Layer, roles: Readonly<Record<string, string>>, path: string): void {
    for (const role of Object.keys(layer.weights)) this.state.push({ layer, role, name: `${path}.${roles[role]}`, tensor: storedWeight(layer, role) });
  }

  /** Where the weights came from a state dict, the module that they had there. */
  #ownPath(layer: Layer, roles: Readonly<Record<string, string>>): string | null {
    const paths = new Set(
      Object.entries(layer.weights).map(([role, { name }]) => (name.endsWith(`.${roles[role]}`) ? name.slice(0, -roles[role]!.length - 1) : '')),
    );
    const [path] = paths;
    return paths.size === 1 && path && path.split('.').every((part) => part !== '') ? path : null;
  }

  #parameter(layer: Layer, role: string): string {
    const tensor = layer.weights[role]!;
    const key = `parameter ${this.#number(tensor)}`;
    const own = isStateName(tensor.name) ? tensor.name : pathOf(`${layer.name}.${role}`);
    const path = this.#modules.get(key) ?? this.#paths.take(own);
    if (!this.#modules.has(key)) {
      this.#modules.set(key, path);
      this.#init.push(
        `put(self, ${pythonText(path)}, nn.Parameter(torch.zeros(${pythonTuple(storedWeight(layer, role).shape)}${dtypeArgument(tensor)}), requires_grad=False))`,
      );
    }
    this.state.push({ layer, role, name: path, tensor: storedWeight(layer, role) });
    return `self.get_parameter(${pythonText(path)})`;
  }

  /** The expression of a weight that is worked out from others of the state dict. */
  #derived(layer: Layer, role: string, tensor: Tensor): string {
    const { derived, stored, shape } = tensor;
    const { by, from, settings } = derived!;
    const made = DERIVED[by]!;
    this.#helpers.add(made.source);
    const parts = from.map((part) => (part.derived ? this.#derived(layer, role, part) : this.#part(layer, role, part)));
    const named = Object.entries(settings).map(([name, value]) => `${name}=${pythonNumber(value)}`);
    const call = `${made.function}(${[...parts, ...named].join(', ')})`;
    if (!stored) return call;
    return stored.turned ? `${call}.reshape(${pythonTuple(shape.toReversed())}).t()` : `${call}.reshape(${pythonTuple(shape)})`;
  }

  #part(layer: Layer, role: string, part: Tensor): string {
    const key = `parameter ${this.#number(part)}`;
    const path = this.#modules.get(key) ?? this.#paths.take(part.name);
    if (!this.#modules.has(key)) {
      this.#modules.set(key, path);
      this.#init.push(`put(self, ${pythonText(path)}, nn.Parameter(torch.zeros(${pythonTuple(part.shape)}), requires_grad=False))`);
    }
    this.state.push({ layer, role, name: path, tensor: part });
    return `self.get_parameter(${pythonText(path)})`;
  }

  /** Numbers that the net calculates with and no file has. */
  #constant(layer: Layer, role: string, tensor: Tensor): string {
    const key = `constant ${this.#number(tensor)}`;
    const path = this.#modules.get(key) ?? this.#paths.take(pathOf(`${layer.name}.${role}`));
    if (!this.#modules.has(key)) {
      this.#modules.set(key, path);
      this.#hasBuffers = true;
      this.#init.push(`put(self, ${pythonText(path)}, ${constantOf(tensor)}, persistent=False)`);
    }
    return `self.get_buffer(${pythonText(path)})`;
  }

  /** A tensor that only the net's own class knows. */
  #beside(tensor: Tensor): void {
    const { name, shape, dtype } = tensor;
    const isTaken = this.state.some((one) => one.name === name);
    if (isTaken || !isStateName(name) || !STORAGE_CLASSES[dtype]) return;
    this.beside.push(tensor);
    this.#hasBuffers = true;
    this.#init.push(`put(self, ${pythonText(name)}, torch.zeros(${pythonTuple(shape)}, dtype=torch.${dtype}))`);
  }

  #variable(value: string, wanted: string): string {
    const plain = wanted.replaceAll(/\W/g, '_');
    const name = this.#names.take(/^[A-Za-z_]/.test(plain) && !KEYWORDS.has(plain) ? plain : `v_${plain}`);
    this.#variables.set(value, name);
    return name;
  }

  #number(tensor: unknown): number {
    const known = this.#numbers.get(tensor) ?? this.#numbers.size;
    this.#numbers.set(tensor, known);
    return known;
  }
}

/** Whole numbers are held as such: a state dict that is loaded fills what is there, in the dtype that is there. */
const dtypeArgument = ({ dtype }: Tensor) => (isFloatDType(dtype) ? '' : `, dtype=${torchDType(dtype)}`);

/** Whether a product's matrix is one of nn.Linear, by its name. */
function isLinear({ op }: Layer, { name, shape }: Tensor): boolean {
  return op === 'MatMul' && shape.length === 2 && /[._]weight$/.test(name);
}

const KEYWORDS = new Set(
  'False None True and as assert async await break class continue def del elif else except finally for from global if import in is lambda nonlocal not or pass raise return try while with yield'.split(
    ' ',
  ),
);

/** A path of a state dict from any name: slashes are levels, and what Python does not take in a name is an underline. */
function pathOf(name: string): string {
  const parts = name
    .split(/[/.]/)
    .map((part) => part.replaceAll(/[^\w-]/g, '_'))
    .filter((part) => part !== '');
  return parts.map((part) => (OF_MODULES.has(part) ? `${part}_` : part)).join('.') || 'layer';
}
