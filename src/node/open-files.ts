/** A model on disk with everything that is said about it: companions that lie elsewhere, a net for bare weights, names of classes. */
import { basename, join } from 'node:path';
import { type FileSet, withFile } from '../bytes/file-set.js';
import { stoppable } from '../bytes/stoppable.js';
import { ModelError } from '../errors.js';
import { parseLabels } from '../model/labels.js';
import type { Dim, ModelFile } from '../model/layer-map.js';
import type { Tensor } from '../model/tensor.js';
import type { OpenOptions } from '../readers/open.js';
import type { RecordedInput, SourceName } from '../readers/reader.js';
import type { OptionNames } from '../spelling.js';
import type { NodeFileSet } from './file-set.js';
import { fileSource } from './file-source.js';
import { shownName } from './remote/location.js';
import { openSource, REMOTE_NAMES, type RemoteFileOptions } from './source.js';
import type { Watching } from './watching.js';

/** What a file may not say about itself. */
export interface SourceFileOptions extends RemoteFileOptions {
  /** Its format, where recognition by content is to be overridden. */
  readonly from?: SourceName;
  /** Path of a Caffe net's description, where it does not lie beside the weights. */
  readonly prototxt?: string;
  /** Path of a Keras model's configuration (JSON), for a file of weights. */
  readonly config?: string;
  /** Architecture of bare weights: a name, or the path of a description (.net, .txt, .json) or of a Keras configuration (.json). */
  readonly arch?: string;
  /** What weights leave open, instead of what is usual: `{ epsilon: '1e-3' }`. */
  readonly assume?: Readonly<Record<string, string>>;
  /** Which dictionary of a checkpoint is the model, its keys joined by dots: 'params_ema', 'model.state_dict'. */
  readonly weightsKey?: string;
  /** Has layers that the file puts in training mode act as in inference. */
  readonly inference?: boolean;
  /** In the model's own layout, batch first; a name such as 'N' for a size that is free. */
  readonly inputShape?: readonly Dim[];
  /** Recorded inputs and outputs of the original framework: path of an .npz file, or its arrays. */
  readonly golden?: string | ReadonlyMap<string, Tensor>;
  /** Names of the classes: a list, or the path of one (a line each, or JSON). */
  readonly labels?: string | readonly string[];
}

export const SOURCE_NAMES: OptionNames<SourceFileOptions> = {
  ...REMOTE_NAMES,
  from: true,
  prototxt: true,
  config: true,
  arch: true,
  assume: true,
  weightsKey: true,
  inference: true,
  inputShape: true,
  golden: true,
  labels: true,
};

export interface OpenedFiles {
  /** As the user called it, without what a URL keeps secret. */
  readonly label: string;
  readonly files: FileSet;
  /** Where the main file lies: elsewhere than the user said where that is packed. */
  readonly path: string;
  readonly options: OpenOptions;
  /** Where a file of the set lies on disk. */
  readonly pathOf: (name: string) => string;
}

/**
 * Opens the model's files, with companions that the user named and that may lie elsewhere. Who opened them closes `files`.
 *
 * @param inParts fetch only what is read of a model on a server
 * @throws ModelError 'usage' when one of them cannot be read; nothing is left open then
 */
export async function openFiles(
  path: string,
  options: SourceFileOptions & Pick<Watching, 'onProgress'>,
  signal?: AbortSignal,
  inParts = false,
): Promise<OpenedFiles> {
  const labels = typeof options.labels === 'string' ? await readLabels(options.labels) : options.labels;
  const given = options.arch === undefined ? null : await readArchitecture(options.arch);
  const recordedInputs = options.golden === undefined ? undefined : await inputsOf(options.golden);
  const own: NodeFileSet = await openSource(path, { ...options, signal }, inParts);
  let files: FileSet = own;
  try {
    const names: { prototxt?: string; config?: string } = {};
    const paths = new Map<string, string>();
    const companions = { prototxt: options.prototxt, config: options.config ?? (given === 'config' ? options.arch : undefined) };
    for (const kind of ['prototxt', 'config'] as const) {
      const companion = companions[kind];
      if (companion === undefined) continue;
      names[kind] = basename(companion);
      paths.set(basename(companion), companion);
      files = withFile(files, basename(companion), await fileSource(companion));
    }
    return {
      label: shownName(path),
      files: stoppable(files, signal),
      path: own.path,
      pathOf: (name) => paths.get(name) ?? join(own.folder, name),
      options: {
        from: options.from,
        arch: given === null ? options.arch : undefined,
        ...(given === null || given === 'config' ? {} : { described: given }),
        assume: options.assume,
        weightsKey: options.weightsKey,
        inference: options.inference,
        inputShape: options.inputShape,
        // The batch of an only input is free; of several nobody knows which of their axes is one.
        recordedShape: recordedInputs?.length === 1 ? recordedInputs[0]!.shape.map((size, axis): Dim => (axis === 0 ? 'N' : size)) : undefined,
        recordedInputs,
        ...(labels ? { labels } : {}),
        ...names,
      },
    };
  } catch (error) {
    await files.close();
    throw error;
  }
}

/** Paths of the files that are read beside the model. */
export function companionsOf({ prototxt, config, arch, golden, labels, inputs }: SourceFileOptions & { readonly inputs?: unknown }): string[] {
  return [prototxt, config, arch, golden, inputs, labels].filter((given) => typeof given === 'string');
}

/** The prototxt that a Caffe model was read with, for a runtime that reads it itself. */
export function prototxtOf({ details }: ModelFile): { prototxt?: string } {
  return details.wiring?.endsWith('.prototxt') ? { prototxt: details.wiring } : {};
}

/** Of the 21,000 classes of the largest data sets there are a few hundred thousand. */
const MAX_LABELS_BYTES = 2 ** 22;

/** @throws ModelError 'usage' when the file cannot be read or is no list of names */
export async function readLabels(path: string): Promise<readonly string[]> {
  const source = await fileSource(path).catch((error: unknown) => {
    throw new ModelError('usage', 'there is no such file of class names', { file: path }, error);
  });
  try {
    if (source.byteLength > MAX_LABELS_BYTES) throw new ModelError('usage', `${source.byteLength} bytes are no list of class names`, { file: path });
    const names = parseLabels(new TextDecoder().decode(await source.read(0, source.byteLength)));
    if (!names) throw new ModelError('usage', 'this is no list of class names: one a line is expected, or a list in JSON', { file: path });
    return names;
  } finally {
    await source.close();
  }
}

/** A document of thousands of layers. */
const MAX_ARCHITECTURE_BYTES = 2 ** 24;

/** A description of the user's own, or a configuration that Keras writes; null for the name of a family. */
async function readArchitecture(arch: string): Promise<{ name: string; text: string } | 'config' | null> {
  if (!/\.(json|net|txt)$/i.test(arch)) return null;
  const source = await fileSource(arch);
  try {
    if (source.byteLength > MAX_ARCHITECTURE_BYTES) throw new ModelError('unsafe', `${source.byteLength} bytes describe no net`, { file: arch });
    const text = new TextDecoder().decode(await source.read(0, source.byteLength));
    const isKeras = arch.endsWith('.json') && /"class_name"/.test(text) && !/"schema"\s*:\s*"weighbridge/.test(text);
    return isKeras ? 'config' : { name: basename(arch), text };
  } finally {
    await source.close();
  }
}

async function inputsOf(golden: string | ReadonlyMap<string, Tensor>): Promise<readonly RecordedInput[]> {
  const arrays = typeof golden === 'string' ? await (await import('./given-inputs.js')).readGolden(golden) : golden;
  const named = (name: string, { dtype, shape }: Tensor) => ({ name: name.startsWith('input:') ? name.slice('input:'.length) : null, dtype, shape });
  const placed = (name: string) => Number(/^input_(\d+)$/.exec(name)?.[1] ?? 0);
  return [...arrays]
    .filter(([name]) => /^input(:|_\d+$|$)/.test(name))
    .sort(([a], [b]) => placed(a) - placed(b))
    .map(([name, tensor]) => named(name, tensor));
}
