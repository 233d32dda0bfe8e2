/** What a weight is that has a scale for each block of neighbours along an axis: its parameters, whatever its layout has become. */
import { positions } from './slab-plan.js';
import { elementCount, type Path, rowMajorStrides } from './tensor.js';

/** value = scale * (code - zero), one pair for each block of `size` places along an axis. */
export interface BlockCodes {
  readonly kind: 'blocks';
  /** In the tensor's own orientation. */
  readonly axis: number;
  readonly size: number;
  /** Of the parameters: the tensor's, with the number of blocks along the axis. */
  readonly shape: readonly number[];
  /** Row-major. */
  readonly scales: Float32Array;
  readonly zeroPoints?: ArrayLike<number>;
}

/** Blocks of a step by its path, in the orientation that it has now; null where it goes over its parameters otherwise. */
export function blocksOnPath({ offset, axes }: Path, scales: Float32Array, zeroPoints?: ArrayLike<number>): BlockCodes | null {
  const loops = axes.map((own) => own.filter(({ size }) => size > 1));
  const axis = loops.findIndex((own) => own.at(-1)?.stride === 0);
  if (offset !== 0 || axis < 0 || loops.some((own, i) => own.length > (i === axis ? 2 : 1) || (i !== axis && own[0]?.stride === 0))) return null;
  const moving = loops.map((own, i) => (i === axis ? own.slice(0, -1) : own)).map(([loop]) => loop ?? { size: 1, stride: 0 });
  const shape = moving.map(({ size }) => size);
  if (elementCount(shape) !== scales.length || moving.some(({ stride }) => stride < 0)) return null;
  const strides = rowMajorStrides(shape);
  const isInOrder = moving.every(({ size, stride }, i) => size === 1 || stride === strides[i]);
  const turned = <T extends Float32Array | Float64Array>(from: ArrayLike<number>, made: T): T => {
    let i = 0;
    for (const place of positions(moving)) made[i++] = from[place]!;
    return made;
  };
  return {
    kind: 'blocks',
    axis,
    size: loops[axis]!.at(-1)!.size,
    shape,
    scales: isInOrder ? scales : turned(scales, new Float32Array(scales.length)),
    ...(zeroPoints ? { zeroPoints: isInOrder ? zeroPoints : turned(zeroPoints, new Float64Array(scales.length)) } : {}),
  };
}

/** The parameters of a weight whose two axes change places. */
export function turnedBlocks({ axis, shape, scales, zeroPoints, ...rest }: BlockCodes): BlockCodes {
  const [rows, columns] = shape as [number, number];
  const turn = (from: ArrayLike<number>) => Float32Array.from({ length: scales.length }, (_, i) => from[(i % rows) * columns + Math.floor(i / rows)]!);
  return { ...rest, axis: 1 - axis, shape: [columns, rows], scales: turn(scales), ...(zeroPoints ? { zeroPoints: turn(zeroPoints) } : {}) };
}
