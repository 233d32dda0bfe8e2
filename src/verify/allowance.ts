/**
 * How much looking for a fault may cost. It is counted in steps, and not by the clock: what is found, and with it what a report says, must not depend on
 * what else the machine does. A step is about a nanosecond of one core of 2.8 GHz.
 */
import type { Layer } from '../model/layer-map.js';
import type { ValueType } from '../model/ops/index.js';
import { elementCount } from '../model/tensor.js';
import { FREE_SIZE } from './inputs.js';

/** Of an element that is read or made: our evaluator goes through them one by one, and multiplies many at a time. */
const ELEMENT = 8;
/** Of a layer, however small it is. */
const LAYER = 50_000;

export class Allowance {
  private left: number;

  /** @param whole of which this is a part */
  constructor(
    steps: number,
    private readonly whole: Allowance | null = null,
  ) {
    this.left = steps;
  }

  /** Whether nothing more should be begun. */
  get isSpent(): boolean {
    return this.left <= 0 || this.whole?.isSpent === true;
  }

  spend(steps: number): void {
    this.left -= steps;
    this.whole?.spend(steps);
  }

  /** At most so much of it, for one thing among others. */
  part(steps: number): Allowance {
    return new Allowance(steps, this);
  }
}

/** To go through so many elements once. */
export function stepsThrough(elements: number): number {
  return ELEMENT * elements;
}

/** Shapes of one sample, where sizes are free. */
export function shapesBy(types: ReadonlyMap<string, ValueType>): (value: string) => readonly number[] | undefined {
  return (value) => types.get(value)?.shape?.map((size, axis) => (typeof size === 'number' ? size : axis === 0 ? 1 : FREE_SIZE));
}

/** To evaluate a layer once, by the shapes of what flows there. */
export function stepsOf(layer: Layer, shapeOf: (value: string) => readonly number[] | undefined): number {
  const shapes = (values: readonly string[]) => values.map((value) => shapeOf(value) ?? []);
  const [read, made] = [shapes(layer.inputs), shapes(layer.outputs)];
  const weights = Object.values(layer.weights).reduce((sum, { shape }) => sum + elementCount(shape), 0);
  const elements = [...read, ...made].reduce((sum, shape) => sum + elementCount(shape), weights);
  return LAYER + stepsThrough(elements) + multiplicationsOf(layer, read[0] ?? [], made[0] ?? []);
}

function multiplicationsOf({ op, weights: { kernel }, attributes }: Layer, read: readonly number[], made: readonly number[]): number {
  const places = (shape: readonly number[]) => elementCount(shape) / (shape[1] || 1);
  if (op === 'Conv' && kernel) return elementCount(kernel.shape) * places(made);
  if (op === 'ConvTranspose' && kernel) return elementCount(kernel.shape) * places(read);
  if (op === 'MatMul' || op === 'Gemm') return elementCount(made) * (read.at(-1) ?? 1);
  const window = attributes.kernel_shape;
  return Array.isArray(window) ? stepsThrough(elementCount(made) * elementCount(window)) : 0;
}
