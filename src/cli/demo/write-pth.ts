/** Writes the seeded VGG16 as torchvision's state dict, or any other state dict, in PyTorch's zip container or the one before it. */
import { concatBytes, type FileSink } from '../../bytes/byte-sink.js';
import { u64 } from '../../bytes/little-endian.js';
import { encodeStateDict, encodeTexts } from '../../containers/pickle-writer.js';
import { writePieces } from '../../containers/protobuf-writer.js';
import { writeZip } from '../../containers/zip-writer.js';
import { elementCount, tensorByteLength, tensorChunks } from '../../model/tensor.js';
import { stateDictMembers } from '../../writers/pytorch/index.js';
import { lazyTensor } from './seeded-source.js';
import type { SeededLayer, SeededTensor } from './vgg16.js';

export async function writePth(layers: readonly SeededLayer[], file: FileSink): Promise<void> {
  await writeStateDict(stateDict(layers), file);
}

/** A tensor under its name in a state dict. */
export interface StateEntry {
  readonly key: string;
  readonly tensor: SeededTensor;
}

/** Any state dict of float32 tensors. */
export async function writeStateDict(entries: readonly StateEntry[], file: FileSink): Promise<void> {
  const tensors = entries.map(({ key, tensor }) => lazyTensor(key, tensor));
  await writeZip(stateDictMembers('vgg16', tensors), file);
}

/** The same in the container that PyTorch wrote until 1.5: pickles one after another, then the storages. */
export async function writeLegacyPth(layers: readonly SeededLayer[], file: FileSink): Promise<void> {
  const tensors = stateDict(layers).map(({ key, tensor }) => lazyTensor(key, tensor));
  const entries = tensors.map((tensor, i) => ({ name: tensor.name, tensor, storage: String(i) }));
  const pickles = [MAGIC_NUMBER, PROTOCOL_1001, SYSTEM_INFO, encodeStateDict(entries, true), encodeTexts(entries.map(({ storage }) => storage))];
  const storages = tensors.flatMap((tensor) => [u64(elementCount(tensor.shape)), { byteLength: tensorByteLength(tensor), chunks: () => tensorChunks(tensor) }]);
  await writePieces([concatBytes(pickles), ...storages], file);
}

/** torch.serialization.MAGIC_NUMBER as LONG1. */
const MAGIC_NUMBER = Uint8Array.of(0x80, 2, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, 0x2e);
const PROTOCOL_1001 = Uint8Array.of(0x80, 2, 0x4d, 0xe9, 0x03, 0x2e);
/** {'little_endian': True} */
const SYSTEM_INFO = concatBytes([Uint8Array.of(0x80, 2, 0x7d, 0x58, 13, 0, 0, 0), new TextEncoder().encode('little_endian'), Uint8Array.of(0x88, 0x73, 0x2e)]);

function stateDict(layers: readonly SeededLayer[]): StateEntry[] {
  return layers.flatMap(({ name, weight, bias }) => {
    const prefix = torchvisionName(name, layers);
    return [
      { key: `${prefix}.weight`, tensor: weight },
      { key: `${prefix}.bias`, tensor: bias },
    ];
  });
}

/** 'conv1_1' to 'features.0', 'fc6' to 'classifier.0': indices count ReLU and pooling modules too. */
function torchvisionName(name: string, layers: readonly SeededLayer[]): string {
  let index = 0;
  for (const [i, layer] of layers.entries()) {
    if (layer.block === null) return `classifier.${{ fc6: 0, fc7: 3, fc8: 6 }[name]}`;
    if (layer.name === name) return `features.${index}`;
    index += layers[i + 1]!.block === layer.block ? 2 : 3;
  }
  throw new Error(`no layer ${name}`);
}
