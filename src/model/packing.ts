/**
 * Integers of fewer than 8 bits, of which files keep several in a byte, the first in the lowest bits. As tensors they are int8 or uint8, an
 * element a byte, and remember how many bits of it files need.
 */
import { type ByteSource, filledSource } from '../bytes/byte-source.js';
import { DTYPE_BYTES } from './dtype.js';
import { kernelsOver } from './kernel-instance.js';
import { elementCount, type Tensor, tensorChunks } from './tensor.js';

/** Bits of an element as files keep it. */
export function elementBits({ stages, walk, dtype }: Pick<Tensor, 'stages' | 'walk' | 'dtype'>): number {
  const last = stages.at(-1);
  return (last ? last.bits : walk.bits) ?? 8 * DTYPE_BYTES[dtype];
}

/** dtype as files have it, as ml_dtypes spells it: int4, uint4. */
export function storedDType(tensor: Tensor): string {
  const bits = elementBits(tensor);
  return bits < 8 ? tensor.dtype.replace(/\d+$/, String(bits)) : tensor.dtype;
}

/** Bytes of all elements as files have them. */
export function packedByteLength(tensor: Tensor): number {
  return Math.ceil((elementCount(tensor.shape) * elementBits(tensor)) / 8);
}

/** The same integers, said to need so many bits of their byte; undefined: all. */
export function withBits(tensor: Tensor, bits: number | undefined): Tensor {
  const last = tensor.stages.at(-1);
  if (!last) return { ...tensor, walk: { ...tensor.walk, bits } };
  return { ...tensor, stages: [...tensor.stages.slice(0, -1), { ...last, bits }] };
}

/** Elements that the kernel packs at a time. */
const PACKED_TOGETHER = 32;

/** The bytes of a file, several elements to each. */
export async function* packedChunks(tensor: Tensor): AsyncGenerator<Uint8Array> {
  const bits = elementBits(tensor);
  const perByte = 8 / bits;
  const mask = 2 ** bits - 1;
  let rest = new Uint8Array(0);
  for await (const chunk of tensorChunks(tensor)) {
    const kernels = bits === 4 && rest.length === 0 && chunk.length % PACKED_TOGETHER === 0 ? kernelsOver(chunk.buffer)?.kernels : undefined;
    if (kernels) {
      kernels.packHalves(chunk.byteOffset, chunk.length);
      yield chunk.subarray(0, chunk.length / perByte);
      continue;
    }
    let elements: Uint8Array = chunk;
    if (rest.length > 0) {
      elements = new Uint8Array(rest.length + chunk.length);
      elements.set(rest);
      elements.set(chunk, rest.length);
    }
    const count = Math.floor(elements.length / perByte);
    const packed = new Uint8Array(count);
    if (bits === 4) for (let i = 0; i < count; i++) packed[i] = (elements[2 * i]! & 15) | (elements[2 * i + 1]! << 4);
    else for (let i = 0; i < count; i++) packed[i] = packOne(elements, i * perByte, perByte, bits, mask);
    rest = elements.slice(count * perByte);
    yield packed;
  }
  if (rest.length > 0) yield Uint8Array.of(packOne(rest, 0, rest.length, bits, mask));
}

function packOne(elements: Uint8Array, at: number, count: number, bits: number, mask: number): number {
  let byte = 0;
  for (let i = 0; i < count; i++) byte |= (elements[at + i]! & mask) << (bits * i);
  return byte;
}

/**
 * Elements of packed bytes, one to a byte, worked out for the part that is read.
 *
 * @param source of exactly the packed bytes
 */
export function unpackedSource(source: ByteSource, count: number, bits: number, isSigned: boolean): ByteSource {
  const perByte = 8 / bits;
  const mask = 2 ** bits - 1;
  const sign = isSigned ? 2 ** (bits - 1) : mask + 1;
  const unpack = async (start: number, target: Uint8Array) => {
    const first = Math.floor(start / perByte);
    const bytes = await source.read(first, Math.ceil((start + target.byteLength) / perByte));
    for (let i = 0; i < target.length; i++) {
      const at = start + i;
      const value = (bytes[Math.floor(at / perByte) - first]! >> (bits * (at % perByte))) & mask;
      target[i] = value >= sign ? value - 2 * sign : value;
    }
  };
  return filledSource(source.name, count, unpack, () => source.close());
}
