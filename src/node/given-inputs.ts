/** Arrays and pictures that a user gives to be run. */
import { basename } from 'node:path';
import { memorySource } from '../bytes/byte-source.js';
import { looksLikeNpy, readNpy, readNpz } from '../containers/npy.js';
import { looksLikeZip } from '../containers/zip.js';
import { ModelError, throwAll } from '../errors.js';
import type { EditedMap } from '../model/edited.js';
import type { LayerMap } from '../model/layer-map.js';
import type { GivenPreparation } from '../model/preparation.js';
import type { Tensor } from '../model/tensor.js';
import type { OptionNames } from '../spelling.js';
import type { GivenInputs } from '../verify/feeds.js';
import { listed } from '../words.js';
import { fileSource } from './file-source.js';
import { openPictureFolder } from './picture-folder.js';
import type { OnStep } from './watching.js';

/** A path, or what would be read there: arrays by the names of inputs. */
export type GivenArrays = string | ReadonlyMap<string, Tensor>;

export interface InputOptions {
  /** Recorded inputs and outputs of the original framework: path of an .npz file, or its arrays (`input`, `output`, `input:<name>`, ...). */
  readonly golden?: GivenArrays;
  /** Inputs instead of generated ones: path of an .npy or .npz file, of a picture (PNG, JPEG) or of a folder of them, or arrays by name. */
  readonly inputs?: GivenArrays;
  /** How pictures of `inputs` are prepared, where it is not as usual. */
  readonly preprocess?: GivenPreparation;
  /** How many inputs to generate, and how many pictures to take at most. */
  readonly samples?: number;
}

export const INPUT_NAMES: OptionNames<InputOptions> = { golden: true, inputs: true, preprocess: true, samples: true };

/** What `inputs` names, for this net. @throws ModelError 'usage' where `preprocess` has no pictures to be about */
export async function readInputs({ inputs: given, preprocess, samples }: InputOptions, onStep: OnStep, map: LayerMap | null) {
  const folder = typeof given === 'string' ? await openPictureFolder(given) : null;
  const isSaid = preprocess !== undefined && (preprocess.values !== null || Object.keys(preprocess.framing).length > 0);
  if (!folder && isSaid) throw new ModelError('usage', '--preprocess is about pictures, and --inputs names none.');
  if (!folder) {
    if (given === undefined) return null;
    const arrays = await readArrays(given);
    const outputs = [...arrays.keys()].filter((name) => /^output([:_]|$)/.test(name));
    const notes = outputs.length > 0 ? [`what --inputs names holds recorded outputs too (${listed(outputs)}), which only --golden compares with`] : [];
    return { arrays, notes };
  }
  if (!map) throw new ModelError('usage', 'pictures are prepared for a net whose wiring is read, and this one is only run: give --inputs arrays (.npy, .npz).');
  const { pictureInputs } = await import('../verify/pictures/index.js');
  return pictureInputs(folder, map, preprocess, samples, (done, total) => onStep('reading pictures', done, total));
}

/** A net that prepares pictures itself is given them as they are, of its size. */
export function asPrepared<Options extends InputOptions>(options: Options, edited: Pick<EditedMap, 'changes'> | undefined): Options {
  const isEmbedded = edited?.changes.some(({ transform }) => transform === 'embed-preprocessing');
  return isEmbedded && options.preprocess ? { ...options, preprocess: { ...options.preprocess, values: null } } : options;
}

/**
 * The inputs that a user gives, as a changed net takes them, which are those that verification feeds it; null where there are none.
 *
 * @throws ModelError 'malformed' naming the input and the row where one is NaN or infinite: nothing can be worked out on it
 */
export async function readGiven(options: InputOptions, onStep: OnStep, edited: EditedMap): Promise<GivenInputs | null> {
  const [{ givenInputs, recordedInputs }, { feedsBefore }] = await Promise.all([import('../verify/feeds.js'), import('../verify/original.js')]);
  const { map, prelude } = edited;
  const read = async () => {
    if (options.golden !== undefined)
      return recordedInputs(await readGolden(options.golden), map, edited, prelude ? (feeds) => feedsBefore(edited, feeds) : undefined);
    const inputs = await readInputs(asPrepared(options, edited), onStep, map);
    return inputs && givenInputs(inputs.arrays, map);
  };
  const given = await read();
  if (given) checkFinite(map, given);
  return given;
}

function checkFinite({ inputs }: LayerMap, given: GivenInputs): void {
  const errors = given.whole().flatMap(({ data, shape }, i) => {
    const at = data.findIndex((value: number | bigint) => !Number.isFinite(Number(value)));
    if (at < 0) return [];
    const row = Math.floor((at * (shape[0] ?? 1)) / data.length);
    return [new ModelError('malformed', `the input for "${inputs[i]!.name}" holds ${data[at]} in row ${row}, and nothing can be worked out on that.`)];
  });
  if (errors.length > 0) throwAll(errors, 'the inputs are not all finite:');
}

/**
 * Recorded inputs and outputs.
 *
 * @throws ModelError 'usage' where the file is a single array
 */
export async function readGolden(given: GivenArrays): Promise<ReadonlyMap<string, Tensor>> {
  if (typeof given !== 'string') return given;
  const { arrays, isSingle } = await readArrayFile(given);
  if (!isSingle) return arrays;
  const problem = 'this is one array (.npy), and a recording has inputs and outputs: --golden wants an .npz with the arrays input and output';
  throw new ModelError('usage', `${problem} (weighbridge golden prints the script that makes one); --inputs takes an .npy.`, { file: given });
}

/** Arrays of an .npz file, or the one of an .npy file. */
export async function readArrays(given: GivenArrays): Promise<ReadonlyMap<string, Tensor>> {
  if (typeof given !== 'string') return given;
  const { arrays } = await readArrayFile(given);
  return arrays;
}

async function readArrayFile(path: string): Promise<{ readonly arrays: ReadonlyMap<string, Tensor>; readonly isSingle: boolean }> {
  const file = await fileSource(path);
  try {
    // Looked at before it is read whole: a model of some gigabytes may be given by mistake.
    const head = await file.read(0, Math.min(6, file.byteLength));
    if (!looksLikeZip(head) && !looksLikeNpy(head)) {
      throw new ModelError('usage', 'this holds no arrays of NumPy: an .npz is expected, which `weighbridge golden` prints a script for, or an .npy', {
        file: path,
      });
    }
    const source = memorySource(await file.read(0, file.byteLength), path);
    if (looksLikeZip(head)) return { arrays: await readNpz(source), isSingle: false };
    return { arrays: new Map([['input', await readNpy(source, basename(path))]]), isSingle: true };
  } finally {
    await file.close();
  }
}
