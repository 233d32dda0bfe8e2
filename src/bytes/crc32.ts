/** Checksums of 32 bits that are remainders of polynomials: CRC-32 of zip, gzip and PNG, and CRC-32C (Castagnoli) of TensorFlow's bundles. */

type Update = (bytes: Uint8Array, crc: number) => number;

export interface Checksum {
  /** @param crc of what came before; 0 where nothing did */
  readonly update: Update;
  /** The checksum of two runs of bytes, from the checksum of each. */
  join(first: number, second: number, secondLength: number): number;
}

/** The polynomial 1, whose bits are reflected. */
const ONE = 0x80000000;

let chosen: Update | null = null;
let find: () => Update | null = () => null;

/** Has CRC-32 worked out by a function of the platform, ten times as fast; it is looked for when the first one is needed. */
export function useCrc32(platform: () => Update | null): void {
  find = platform;
  chosen = null;
}

const plain32 = plainChecksum(0xedb88320);
export const CRC32: Checksum = { ...plain32, update: crc32 };
/** @see https://www.rfc-editor.org/rfc/rfc3720, appendix B.4 */
export const CRC32C: Checksum = plainChecksum(0x82f63b78);

/** @param crc of what came before */
export function crc32(bytes: Uint8Array, crc = 0): number {
  chosen ??= find() ?? plain32.update;
  return chosen(bytes, crc);
}

/** CRC-32 without the platform's help. */
export const plainCrc32 = (bytes: Uint8Array, crc = 0): number => plain32.update(bytes, crc);

/** @param polynomial reflected, as its checksums are */
function plainChecksum(polynomial: number): Checksum {
  let tables: Int32Array[] | null = null;

  /** A bit further: multiplication by x. */
  const step = (crc: number): number => (crc & 1 ? (crc >>> 1) ^ polynomial : crc >>> 1);

  function makeTables(): Int32Array[] {
    const first = Int32Array.from({ length: 256 }, (_, byte) => {
      let crc = byte;
      for (let bit = 0; bit < 8; bit++) crc = step(crc);
      return crc;
    });
    const made = [first];
    for (let t = 1; t < 8; t++) made.push(made[t - 1]!.map((crc) => first[crc & 255]! ^ (crc >>> 8)));
    return made;
  }

  /** Eight bytes a step. */
  function update(bytes: Uint8Array, crc: number): number {
    tables ??= makeTables();
    const [t0, t1, t2, t3, t4, t5, t6, t7] = tables as [Int32Array, Int32Array, Int32Array, Int32Array, Int32Array, Int32Array, Int32Array, Int32Array];
    let value = ~crc;
    let i = 0;
    for (const end = bytes.length - 7; i < end; i += 8) {
      value ^= bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24);
      value =
        t7[value & 255]! ^
        t6[(value >>> 8) & 255]! ^
        t5[(value >>> 16) & 255]! ^
        t4[value >>> 24]! ^
        t3[bytes[i + 4]!]! ^
        t2[bytes[i + 5]!]! ^
        t1[bytes[i + 6]!]! ^
        t0[bytes[i + 7]!]!;
    }
    for (; i < bytes.length; i++) value = t0[(value ^ bytes[i]!) & 255]! ^ (value >>> 8);
    return ~value >>> 0;
  }

  /** Rows of one matrix have one length. */
  let lastMove = { length: 0, factor: ONE };

  /** That of the first moved on by the length of the second, which is a multiplication by x to the power of its bits. */
  function join(first: number, second: number, secondLength: number): number {
    if (secondLength !== lastMove.length) lastMove = { length: secondLength, factor: powerOfX(8 * secondLength) };
    return (multiply(lastMove.factor, first) ^ second) >>> 0;
  }

  /** x to the power of `exponent`, by squaring. */
  function powerOfX(exponent: number): number {
    let [power, square] = [ONE, step(ONE)];
    for (let rest = exponent; rest > 0; rest = Math.floor(rest / 2)) {
      if (rest % 2 === 1) power = multiply(power, square);
      square = multiply(square, square);
    }
    return power;
  }

  /** The product of two polynomials, modulo the one of the checksum. */
  function multiply(a: number, b: number): number {
    let product = 0;
    for (let bit = ONE, moved = b; bit !== 0; bit >>>= 1, moved = step(moved)) if (a & bit) product ^= moved;
    return product;
  }

  return { update, join };
}
