/** Checkpoints without their graph: values by name, of which a net is made where it is one that is known. */
import type { FileSet } from '../bytes/file-set.js';
import { readTensorBundle, type TensorBundle } from '../containers/tf-bundle.js';
import { VALUE_SUFFIX } from '../containers/tf-objects.js';
import type { ModelFile, StoredWeight } from '../model/layer-map.js';
import type { ReadOptions } from './reader.js';
import { valueFiles } from './tensorflow.js';
import { wireWeights } from './wire.js';

/** What an optimiser keeps for each weight: attributes of TensorFlow 2's, names of TensorFlow 1's; and counters. */
const BESIDE =
  /\/\.OPTIMIZER_SLOT\/|(^|\/)(optimizer|_optimizer)\/|\/(Adam(_1)?|Momentum|RMSProp(_1)?|Adagrad|Ftrl(_1)?|ExponentialMovingAverage)$|^(beta[12]_power|save_counter|global_step)$/;

/** The values of a checkpoint of either version. @param prefix of its files, within the folder */
export async function checkpointValues(files: FileSet, prefix: string): Promise<TensorBundle> {
  const names = (await valueFiles(files, prefix)) ?? [prefix];
  if (names[0] === `${prefix}.index`) return readTensorBundle(files, prefix);
  const { readSavedSlices } = await import('../containers/tf-saved-slices.js');
  return readSavedSlices(files, names);
}

/** @param prefix of its files, within the folder */
export async function readCheckpoint(files: FileSet, prefix: string, options: ReadOptions): Promise<ModelFile> {
  const bundle = await checkpointValues(files, prefix);
  const weights = [...bundle.tensors.values()].map((tensor): StoredWeight => {
    const name = tensor.name.endsWith(VALUE_SUFFIX) ? tensor.name.slice(0, -VALUE_SUFFIX.length) : tensor.name;
    const layer = name.includes('/') ? name.slice(0, name.lastIndexOf('/')) : null;
    return { tensor: { ...tensor, name }, layer, ...(BESIDE.test(name) ? { beside: true } : {}) };
  });
  return {
    format: 'tensorflow',
    producer: null,
    tensors: weights,
    details: { content: 'checkpoint, values without a graph', variables: String(weights.length) },
    warnings: [],
    files: [...bundle.files],
    map: () => wireWeights(weights, { file: files.label, format: 'tensorflow', producer: null, options }),
  };
}
