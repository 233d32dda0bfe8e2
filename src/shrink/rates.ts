/** What each level of a weight costs in bits and in error, measured on a part of its values. */
import { type CodeRange, measureBlocks, quantiseBlocks } from '../model/block-codes.js';
import { castTensor } from '../model/cast.js';
import { paletteOf, toPalette } from '../model/palette.js';
import { elementCount, float32Tensor, sliceAxis, type Tensor, tensorBytes, tensorChunks } from '../model/tensor.js';
import { blockAxis, blockFor, DEFAULT_BLOCK } from './blocks.js';
import type { CodeForm, Level } from './coded.js';
import { SEARCHED_PALETTE } from './paletted.js';
import type { LowRank } from './svd.js';
import type { CodableWeight } from './weights.js';

export interface Rate {
  readonly level: Level;
  /** Bits of a value on disk, over the wire with Huffman codes, and as the runtime computes with it. */
  readonly disk: number;
  readonly wire: number;
  readonly memory: number;
  /** Energy of the error, of the weight's own. */
  readonly error: number;
  /** Where a dense layer becomes two: the kernels, and what that does to the output by itself. Bits are of a value of the one kernel as well. */
  readonly low?: { readonly factors: LowRank; readonly moved: number };
}

export interface Offered {
  readonly form: CodeForm;
  /** Whether the target takes codes of 4 bits, and palettes. */
  readonly fours?: boolean;
  readonly palettes?: boolean;
  /** Steps beside those that are always looked at. */
  readonly more?: readonly number[];
}

/** From the finest to the coarsest. */
const STEPS = [0.03, 0.05, 0.08, 0.12, 0.16, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7, 0.85, 1, 1.2] as const;
/** Channels that are looked at. */
const SAMPLED_CHANNELS = 24;
/** Deflate's tables, one for some ten thousand codes. */
const TABLES = 1.005;
/** Runtimes compute in float32, and widen whatever is narrower. */
const memory = 32;
/** What deflate saves of the exponents of float32 and float16. */
const PACKED_FLOATS = 0.93;

/** All levels of a weight, float32 first; in each step the error grows. */
export async function ratesOf({ tensor, axis }: CodableWeight, { form, fours = false, palettes = false, more = [] }: Offered): Promise<Rate[]> {
  const channels = await sampledChannels(tensor, axis);
  const all = channels.flatMap((values) => [...squaresAndLargest(values)]);
  const energy = all.reduce((sum, value, i) => (i % 2 === 0 ? sum + value : sum), 0);
  const count = channels.reduce((sum, { length }) => sum + length, 0);
  const whole = { deviation: Math.sqrt(energy / Math.max(1, count)), largest: Math.max(0, ...all.filter((_, i) => i % 2 === 1)) };
  const coded = (level: 'full' | number): Rate => {
    const counts = new Map<number, number>();
    let lost = 0;
    for (const [c, values] of channels.entries()) {
      const own = form === 'channels' ? { deviation: Math.sqrt(all[2 * c]! / Math.max(1, values.length)), largest: all[2 * c + 1]! } : whole;
      const step = Math.max(own.largest / 127, level === 'full' ? 0 : level * own.deviation) || 1;
      for (const value of values) {
        const code = Math.round(value / step);
        counts.set(code, (counts.get(code) ?? 0) + 1);
        lost += (value - code * step) ** 2;
      }
    }
    return { level, disk: 8, wire: Math.min(8, deflateBits([...counts.values()]) * TABLES), memory, error: energy === 0 ? 0 : lost / energy };
  };
  const packed: Rate[] = [];
  if (form === 'channels' && fours) for (const range of ['int4', 'uint4'] as const) packed.push(await fourBits({ tensor, axis }, channels, energy, range));
  if (palettes) packed.push(await palette(tensor, channels, energy));
  return [
    { level: 'float32', disk: 32, wire: 32 * PACKED_FLOATS, memory, error: 0 },
    { level: 'float16', disk: 16, wire: 16 * PACKED_FLOATS, memory, error: 2 ** -24 },
    coded('full'),
    ...[...new Set([...STEPS, ...more])].sort((a, b) => a - b).map(coded),
    ...packed,
  ];
}

/** Codes of 4 bits in blocks, as channels that are looked at lose by them. */
async function fourBits(
  { tensor, axis }: Pick<CodableWeight, 'tensor' | 'axis'>,
  channels: readonly Float32Array[],
  energy: number,
  range: CodeRange,
): Promise<Rate> {
  const size = tensor.shape.length > 1 ? blockFor(tensor.shape[blockAxis(axis)]!, DEFAULT_BLOCK) : null;
  const each = elementCount(tensor.shape) / tensor.shape[axis]!;
  // Along the input axis a channel's values have others of the window between them.
  const inner = size === null ? 1 : elementCount(tensor.shape.slice(axis === 0 ? 2 : axis + 1));
  const counts = new Map<number, number>();
  let lost = 0;
  for (const values of channels) {
    const own = float32Tensor('channel', [values.length / inner, inner], values, tensor.origin);
    const few = await measureBlocks(own, 0, size ?? each, range);
    const zeros = few.zeroPoints;
    for (const [i, byte] of (await tensorBytes(quantiseBlocks(own, few, range))).entries()) {
      const group = Math.floor(Math.floor(i / inner) / few.size) * inner + (i % inner);
      const code = byte > 127 ? byte - 256 : byte;
      lost += (values[i]! - (code - (zeros?.[group] ?? 0)) * few.scales[group]!) ** 2;
      counts.set(code, (counts.get(code) ?? 0) + 1);
    }
  }
  const scales = (range === 'uint4' ? 36 : 32) / (size ?? each);
  return {
    level: range,
    disk: 4 + scales,
    wire: packedBits([...counts.values()]) * TABLES + scales * PACKED_FLOATS,
    memory,
    error: energy === 0 ? 0 : lost / energy,
  };
}

/** Places in a palette of all channels that are looked at, which take 4 bits, and the table. */
async function palette(tensor: Tensor, channels: readonly Float32Array[], energy: number): Promise<Rate> {
  const values = channels.flatMap((channel) => [...channel]);
  const own = float32Tensor('channels', [values.length], values, tensor.origin);
  const table = await paletteOf(own, SEARCHED_PALETTE);
  const counts = new Map<number, number>();
  let lost = 0;
  for (const [i, code] of (await tensorBytes(toPalette(own, table))).entries()) {
    lost += (values[i]! - table[code]!) ** 2;
    counts.set(code, (counts.get(code) ?? 0) + 1);
  }
  const shared = (32 * SEARCHED_PALETTE) / elementCount(tensor.shape);
  return { level: 'palette', disk: 4 + shared, wire: packedBits([...counts.values()]) * TABLES + shared, memory, error: energy === 0 ? 0 : lost / energy };
}

/** Bits of a code on average, with Huffman's, which are whole ones: no less than one. */
export function huffmanBits(counts: readonly number[]): number {
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (counts.length < 2) return 1;
  // Two queues, each in ascending order: the least two are at their heads.
  const single = counts.toSorted((a, b) => a - b);
  const joined: number[] = [];
  let [i, j, bits] = [0, 0, 0];
  const least = () => (j >= joined.length || (i < single.length && single[i]! <= joined[j]!) ? single[i++]! : joined[j++]!);
  for (let left = counts.length; left > 1; left--) {
    const sum = least() + least();
    bits += sum;
    joined.push(sum);
  }
  return bits / total;
}

/** Symbols of a block of deflate. */
const BLOCK_SYMBOLS = 2 ** 14;

/** In deflate each block has an end, whose code makes that of the least frequent symbol a bit longer: of five as frequent as each other, 2.6 bits instead of 2.4. */
export function deflateBits(counts: readonly number[]): number {
  return huffmanBits([...counts, counts.reduce((sum, count) => sum + count, 0) / BLOCK_SYMBOLS]);
}

/** The same of codes that are two to a byte, each byte a symbol. */
function packedBits(counts: readonly number[]): number {
  return deflateBits(counts.flatMap((a) => counts.map((b) => a * b))) / 2;
}

async function sampledChannels(tensor: Tensor, axis: number): Promise<Float32Array[]> {
  const channels = tensor.shape[axis]!;
  const count = Math.min(channels, SAMPLED_CHANNELS);
  const found: Float32Array[] = [];
  for (let i = 0; i < count; i++) {
    const channel = Math.floor((i * channels) / count);
    const slice = castTensor(sliceAxis(tensor, axis, channel, channel + 1), 'float32');
    const values = new Float32Array(elementCount(slice.shape));
    let at = 0;
    for await (const chunk of tensorChunks(slice)) {
      values.set(new Float32Array(chunk.buffer, chunk.byteOffset, chunk.byteLength / 4), at);
      at += chunk.byteLength / 4;
    }
    found.push(values);
  }
  return found;
}

function squaresAndLargest(values: Float32Array): [squares: number, largest: number] {
  let [squares, largest] = [0, 0];
  for (const value of values) {
    squares += value * value;
    if (Math.abs(value) > largest) largest = Math.abs(value);
  }
  return [squares, largest];
}
