/** Small nets of every VGG configuration, as torchvision's state dicts. */
import { memorySink } from '../src/bytes/byte-sink.js';
import { type FileSet, memoryFileSet } from '../src/bytes/file-set.js';
import { type SeededTensor, seededTensor } from '../src/cli/demo/vgg16.js';
import { type StateEntry, writeStateDict } from '../src/cli/demo/write-pth.js';

export interface VggNet {
  readonly title: string;
  /** Convolutions per block; a minus marks a 1 x 1 convolution (configuration C). */
  readonly blocks: readonly (readonly number[])[];
  readonly norm?: boolean;
  /** Fully connected layers: as matrices, as convolutions, or none. */
  readonly top?: 'dense' | 'convolutions' | 'none';
  /** What the weights leave open. */
  readonly arch?: string;
}

const A = [[4], [6], [8, 8], [8, 8], [8, 8]];
const B = [
  [4, 4],
  [6, 6],
  [8, 8],
  [8, 8],
  [8, 8],
];
const C = [
  [4, 4],
  [6, 6],
  [8, 8, -8],
  [8, 8, -8],
  [8, 8, -8],
];
const D = [
  [4, 4],
  [6, 6],
  [8, 8, 8],
  [8, 8, 8],
  [8, 8, 8],
];
const E = [
  [4, 4],
  [6, 6],
  [8, 8, 8, 8],
  [8, 8, 8, 8],
  [8, 8, 8, 8],
];

/** Simonyan & Zisserman 2014, table 1, and what others made of it. */
export const VGG_NETS: readonly VggNet[] = [
  { title: 'A', blocks: A },
  { title: 'A-LRN', blocks: A, arch: 'vgg11-lrn' },
  { title: 'B', blocks: B },
  { title: 'C', blocks: C },
  { title: 'D', blocks: D },
  { title: 'E', blocks: E },
  { title: 'A with batch normalisation', blocks: A, norm: true },
  { title: 'E with batch normalisation', blocks: E, norm: true },
  { title: 'D without top', blocks: D, top: 'none' },
  { title: 'D fully convolutional', blocks: D, top: 'convolutions' },
];

/** Pooled to 2 x 2, so that the order in which fc6 takes the picture matters. */
const POOLED_SIDE = 2;
const HIDDEN = 20;
const CLASSES = 7;

/** What the weights do not say: they fit pictures of any size where no matrix follows them. */
export function vggInputShape({ top }: VggNet): readonly (number | string)[] | undefined {
  return top === 'none' || top === 'convolutions' ? ['N', 3, 64, 64] : undefined;
}

/** Weights whose biases and statistics are not trivial. */
export function vggStateDict({ blocks, norm = false, top = 'dense' }: VggNet, seed = 3): StateEntry[] {
  const entries: StateEntry[] = [];
  let stream = 0;
  let channels = 3;
  let index = 0;
  const add = (key: string, shape: readonly number[], limit: number) => void entries.push({ key, tensor: seededTensor(shape, seed, stream++, limit) });
  const addWeighted = (name: string, shape: readonly number[]) => {
    const fanIn = shape.slice(1).reduce((a, b) => a * b, 1);
    add(`${name}.weight`, shape, Math.sqrt(6 / fanIn));
    add(`${name}.bias`, [shape[0]!], 0.1);
  };
  for (const block of blocks) {
    for (const width of block) {
      const [out, side] = [Math.abs(width), width < 0 ? 1 : 3];
      addWeighted(`features.${index++}`, [out, channels, side, side]);
      if (norm) {
        const name = `features.${index++}`;
        for (const last of ['weight', 'running_var']) entries.push({ key: `${name}.${last}`, tensor: positive(seededTensor([out], seed, stream++, 0.4)) });
        for (const last of ['bias', 'running_mean']) add(`${name}.${last}`, [out], 0.2);
      }
      index++; // ReLU
      channels = out;
    }
    index++; // pooling
  }
  const picture = top === 'convolutions' ? [channels, POOLED_SIDE, POOLED_SIDE] : [channels * POOLED_SIDE ** 2];
  const point = top === 'convolutions' ? [1, 1] : [];
  if (top === 'none') return entries;
  addWeighted('classifier.0', [HIDDEN, ...picture]);
  addWeighted('classifier.3', [HIDDEN, HIDDEN, ...point]);
  addWeighted('classifier.6', [CLASSES, HIDDEN, ...point]);
  return entries;
}

function positive(tensor: SeededTensor): SeededTensor {
  return {
    shape: tensor.shape,
    fill(target, start, indexOf) {
      tensor.fill(target, start, indexOf);
      for (let i = 0; i < target.length; i++) target[i]! += 1;
    },
  };
}

/** The net as a PyTorch file in memory. */
export async function vggFiles(net: VggNet): Promise<FileSet> {
  const sink = memorySink();
  const file = await sink.create('net.pth');
  await writeStateDict(vggStateDict(net), file);
  await file.close();
  await sink.commit();
  return memoryFileSet({ 'net.pth': sink.files.get('net.pth')! }, 'net.pth');
}
