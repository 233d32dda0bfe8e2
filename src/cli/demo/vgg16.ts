/**
 * A full-size VGG16 with seeded weights, for `demo --vgg16` and the benchmark: configuration D of Simonyan & Zisserman 2014,
 * table 1, 138,357,544 parameters. Values are a hash of (seed, tensor, index), so any dialect's order can be written as a stream.
 */

/** Output channels of the convolutions, block by block. */
const BLOCKS = [
  [64, 64],
  [128, 128],
  [256, 256, 256],
  [512, 512, 512],
  [512, 512, 512],
] as const;

export const INPUT_SIDE = 224;
export const CLASSES = 1000;
const POOLED_SIDE = 7;

export interface SeededTensor {
  /** Conv [out, in, kH, kW], dense [out, in] over a CHW-flattened input, bias [out]. */
  readonly shape: readonly number[];
  /** Fills `target` with values for the row-major indices that `indexOf` gives for positions start, start + 1, ... */
  fill(target: Float32Array, start: number, indexOf?: (position: number) => number): void;
}

export interface SeededLayer {
  /** 'conv1_1' ... 'fc8' */
  readonly name: string;
  /** Block of a convolution, from 1. */
  readonly block: number | null;
  /** Spatial side of a dense layer's input picture; 1 for plain vectors. */
  readonly side: number;
  readonly weight: SeededTensor;
  readonly bias: SeededTensor;
}

/** The layers in order, with weights of the scale that He initialisation gives, so that activations neither die nor explode. */
export function seededVgg16(seed: number): readonly SeededLayer[] {
  const layers: SeededLayer[] = [];
  let channels = 3;
  let stream = 0;
  const add = (name: string, block: number | null, side: number, shape: readonly number[]) => {
    const fanIn = shape.slice(1).reduce((a, b) => a * b, 1);
    const weight = seededTensor(shape, seed, stream++, Math.sqrt(6 / fanIn));
    layers.push({ name, block, side, weight, bias: seededTensor([shape[0]!], seed, stream++, 0.1) });
  };
  BLOCKS.forEach((block, b) => {
    block.forEach((out, c) => {
      add(`conv${b + 1}_${c + 1}`, b + 1, 1, [out, channels, 3, 3]);
      channels = out;
    });
  });
  add('fc6', null, POOLED_SIDE, [4096, channels * POOLED_SIDE ** 2]);
  add('fc7', null, 1, [4096, 4096]);
  add('fc8', null, 1, [CLASSES, 4096]);
  return layers;
}

/** Values uniform in (-limit, limit). */
export function seededTensor(shape: readonly number[], seed: number, stream: number, limit: number): SeededTensor {
  const key = mix(Math.imul(seed + 1, 0x9e3779b1) ^ Math.imul(stream + 1, 0x85ebca77));
  const scale = limit / 2 ** 31;
  return {
    shape,
    fill(target, start, indexOf) {
      for (let i = 0; i < target.length; i++) {
        const index = indexOf ? indexOf(start + i) : start + i;
        target[i] = mix(index ^ key) * scale;
      }
    },
  };
}

/** The finaliser of MurmurHash3, a bijection of 32-bit integers with good avalanche. */
function mix(value: number): number {
  let h = value | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}
