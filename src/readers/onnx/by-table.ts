/** Translates a node by its operator's definition: slots, and attributes as ONNX spells them in the node's opset. */
import { isGraph, isTensor, type OnnxValue } from '../../containers/onnx.js';
import { DTYPE_BY_CODE } from '../../containers/onnx-tensors.js';
import type { AttributeValue } from '../../model/layer-map.js';
import { withKnown } from '../../model/numbers.js';
import type { Operator } from '../../model/ops/index.js';

/** A reason why a node is kept as it came. */
export class NotUnderstood {
  constructor(readonly reason: string) {}
}

/** Attributes without effect on what a node computes: hints to early runtimes. */
const WITHOUT_EFFECT: ReadonlySet<string> = new Set(['consumed_inputs']);

/**
 * A node's attributes as the map has them.
 *
 * @returns why not, where one is not known or has a value that the map cannot say
 */
export async function tableAttributes(
  operator: Operator,
  given: ReadonlyMap<string, OnnxValue>,
  opset: number,
): Promise<Record<string, AttributeValue> | NotUnderstood> {
  const spelling = operator.onnx!;
  const attributes: Record<string, AttributeValue> = {};
  for (const [name, value] of given) {
    const spec = operator.attributes[name];
    const rest = spelling.rest?.[name];
    if (spelling.oneElement?.[name]) {
      const element = isTensor(value) ? await withKnown(value) : undefined;
      if (element?.known?.length !== 1) return new NotUnderstood(`its ${name} is no single number`);
      Object.assign(attributes, { [name]: element.known[0], [spelling.oneElement[name]]: element.dtype });
    } else if (spec) {
      const old = spelling.spellings?.[name]?.find(({ before }) => opset < before);
      const word = old && Object.keys(old.words).find((one) => old.words[one] === value);
      const read = readAttribute(spec, word ?? value);
      if (read instanceof NotUnderstood) return new NotUnderstood(`its ${name} ${read.reason}`);
      attributes[name] = read;
    } else if (rest) {
      const resting = typeof rest.value === 'function' ? null : rest.value;
      const isResting = rest.any || (resting === null ? isOnes(value) : same(resting, value));
      if (!isResting) return new NotUnderstood(`its ${name} is ${shown(value)}`);
    } else if (!WITHOUT_EFFECT.has(name)) return new NotUnderstood(`its ${name} is not known`);
  }
  for (const [name, { before, value }] of Object.entries(spelling.defaults ?? {})) {
    if (opset < before && !given.has(name)) attributes[name] = value;
  }
  return attributes;
}

function readAttribute(spec: Operator['attributes'][string], value: OnnxValue): AttributeValue | NotUnderstood {
  if (spec.isDType) {
    const dtype = typeof value === 'number' ? DTYPE_BY_CODE.get(value) : undefined;
    return dtype ?? new NotUnderstood(`is the data type ${shown(value)}`);
  }
  if (isGraph(value) || isTensor(value) || (typeof value === 'object' && 'reference' in value)) return new NotUnderstood('is no plain value');
  const isText = spec.type === 'string' || spec.type === 'strings';
  const isList = spec.type.endsWith('s');
  if (isList !== Array.isArray(value) || isText !== (typeof (Array.isArray(value) ? (value[0] ?? (isText ? '' : 0)) : value) === 'string')) {
    return new NotUnderstood(`is ${shown(value)}`);
  }
  if (spec.words && !spec.words.includes(value as string)) return new NotUnderstood(`is ${shown(value)}`);
  return value;
}

function same(resting: AttributeValue, value: OnnxValue): boolean {
  if (typeof resting === 'number' && typeof value === 'number') return Math.fround(resting) === Math.fround(value);
  return `${resting}` === `${value as AttributeValue}`;
}

function isOnes(value: OnnxValue): boolean {
  return Array.isArray(value) && value.every((size) => size === 1);
}

function shown(value: OnnxValue): string {
  return typeof value === 'object' && !Array.isArray(value) ? 'a graph or a tensor' : String(JSON.stringify(value)).slice(0, 80);
}
