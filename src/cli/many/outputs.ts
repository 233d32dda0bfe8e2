/** Where the outputs of several conversions go, checked before anything is written. */
import { mkdirSync, readdirSync, rmdirSync } from 'node:fs';
import { dirname, join, resolve, sep } from 'node:path';
import { chooseWriter } from '../../convert.js';
import { ModelError, throwAll } from '../../errors.js';
import { statsOf } from '../../node/identity.js';
import { identityOf, isRemote } from '../../node/index.js';
import { shownName } from '../../node/remote/location.js';
import type { AnyWriter } from '../../writers/index.js';

/** Endings that say of what format a file is, or how it is packed, and nothing of its name, as a version does (`net.v2`). */
const ENDINGS = [/\.(gz|br)$/i, /\.(tar|index\.json)$/i, /\.(?!v\d+$)[a-z][a-z0-9]{0,11}$/i];

/** A model's name without what its format adds: `vgg16` of `nets/vgg16.pth.tar`. */
export function stemOf(path: string): string {
  const plain = isRemote(path) ? path.replace(/[?#].*$/, '').replace(/^(hf:.*)@[^@]*$/, '$1') : path;
  const [name = ''] = plain
    .split(/[\\/]/)
    .filter((part) => part !== '')
    .slice(-1);
  const stem = ENDINGS.reduce((rest, ending) => rest.replace(ending, ''), name);
  return stem === '' || stem === '.' || stem === '..' || stem === '-' ? 'model' : stem;
}

/** What a model becomes in `folder`: a file with the target's extension, or a folder where the target is one. */
export function outputName(stem: string, { extensions }: AnyWriter): string {
  const [extension] = extensions;
  return extension?.startsWith('.') ? stem + extension : stem;
}

/** Whether an output is meant as the folder to write into. A target that is a folder of files itself takes the name of one as its own. */
export function isFolderOutput(output: string, writer: AnyWriter | null): boolean {
  if (writer && !writer.extensions[0]?.startsWith('.')) return false;
  return /[\\/]$/.test(output) || statsOf(output)?.isDirectory() === true;
}

/**
 * @param problem what is said where nothing says which format is to be written
 * @throws ModelError 'usage' then
 */
export function writerFor(to: string | undefined, problem: string): AnyWriter {
  if (to === undefined) throw new ModelError('usage', problem);
  return chooseWriter('', to);
}

/** A model, and where what it becomes is to lie. */
export interface Target {
  readonly model: string;
  readonly output: string;
  readonly force: boolean;
}

/** One output for each model. Below `folder` they lie as the models do below the folder that all of them share. */
export function nameOutputs(models: readonly string[], folder: string, writer: AnyWriter): readonly string[] {
  const local = models.filter((model) => !isRemote(model));
  const below = new Map(belowShared(local.map((model) => dirname(resolve(model)))).map((path, i) => [local[i]!, path]));
  return models.map((model) => join(folder, below.get(model) ?? '', outputName(stemOf(model), writer)));
}

/** @throws ModelError 'usage' listing every output that two models would have, that is there already (without `force`) or that is a model which is read */
export function checkOutputs(targets: readonly Target[]): void {
  const problems: ModelError[] = [];
  const takenBy = new Map<string, string>();
  const read = new Set(targets.map(({ model }) => (isRemote(model) ? model : identityOf(model))));
  for (const { model, output, force } of targets) {
    // The disks of Windows and macOS do not tell capitals from small letters, nor macOS an accent from a letter and an accent.
    const key = resolve(output).normalize().toLowerCase();
    const other = takenBy.get(key);
    if (other !== undefined) {
      problems.push(
        new ModelError('usage', `${shownName(other)} and ${shownName(model)} would both become this file. Convert them into two folders.`, { file: output }),
      );
    }
    takenBy.set(key, model);
    const stats = statsOf(output);
    if (!stats) continue;
    if (read.has(identityOf(output)))
      problems.push(new ModelError('usage', 'is one of the models that are read, and will not be overwritten', { file: output }));
    else if (!force && !(stats.isDirectory() && readdirSync(output).length === 0)) {
      problems.push(new ModelError('usage', 'exists already. Choose another folder, or overwrite it with --force.', { file: output }));
    }
  }
  if (problems.length > 0) throwAll(problems, 'nothing was written, because not every model can have its output:');
}

/** @returns a function that removes those of the made folders in which nothing came to lie */
export function makeFolders(outputs: readonly string[]): () => void {
  const made: string[] = [];
  const make = (folder: string): void => {
    const stats = statsOf(folder);
    if (stats?.isDirectory()) return;
    if (stats) throw new ModelError('usage', 'is a file, and the outputs are to lie in a folder of this name', { file: folder });
    make(dirname(folder));
    try {
      mkdirSync(folder);
    } catch (error) {
      throw new ModelError('usage', `could not be made: ${(error as Error).message}`, { file: folder }, error);
    }
    made.push(folder);
  };
  for (const output of outputs) make(dirname(resolve(output)));
  return () => {
    for (const folder of made.reverse()) {
      try {
        rmdirSync(folder);
      } catch {
        // There is something in it.
      }
    }
  };
}

/** Of each folder what is below the one that all of them lie in. Folders on several drives of Windows share none: there the drive is a folder. */
export function belowShared(folders: readonly string[], separator: string = sep): readonly string[] {
  const all = folders.map((folder) => folder.split(separator).filter((part, i) => part !== '' || i === 0));
  const [first = []] = all;
  let count = first.length;
  for (const parts of all) while (parts.slice(0, count).join(separator) !== first.slice(0, count).join(separator)) count--;
  return all.map((parts) =>
    parts
      .slice(count)
      .map((part, i) => (count === 0 && i === 0 ? part.replace(/:$/, '') : part))
      .join(separator),
  );
}
