/**
 * Files of `torch.export` (.pt2): a zip archive of a program as JSON and its weights.
 *
 * Three layouts: `serialized_exported_program.json` beside dictionaries of `torch.save` (torch 2.1 to 2.7), `models/*.json` with such
 * dictionaries in `data/` (2.8), and with every weight as a member of its own (2.9 on).
 */
import { inTurns } from '../../bytes/breath.js';
import type { ByteSource } from '../../bytes/byte-source.js';
import { checkJson, isObject, type JsonObject } from '../../containers/json.js';
import { openZip, type ZipArchive } from '../../containers/zip.js';
import { EXPORTED_TYPES } from '../../dialects/torch/scalar-types.js';
import { ModelError } from '../../errors.js';
import { DTYPE_BYTES } from '../../model/dtype.js';
import type { ModelFile, StoredWeight } from '../../model/layer-map.js';
import { storedTensor, type Tensor } from '../../model/tensor.js';
import { listed } from '../../words.js';
import type { ReadOptions } from '../reader.js';
import { findModel } from './checkpoint.js';
import { readZipContent } from './containers.js';
import { exportedProgramNames, PROGRAM } from './recognise-content.js';
import { viewTensor } from './view-tensor.js';

/** Programs of large nets have a few MB, most of it notes on where each node comes from. */
const MAX_JSON_BYTES = 2 ** 26;

/**
 * @param name of the file in its set
 * @returns null where the archive is no program of torch.export
 */
export async function readExported(source: ByteSource, name: string, options: ReadOptions): Promise<ModelFile | null> {
  const zip = await openZip(source);
  const programs = exportedProgramNames(zip.entries.map(({ name }) => name));
  if (programs.length === 0) return null;
  const file = source.name;
  const program = chosenProgram(programs, options, file);
  const document = await readJson(zip, program, file);
  const weights = await readWeights(zip, program, file);
  const schema = isObject(document.schema_version)
    ? `${document.schema_version.major}.${document.schema_version.minor}`
    : String(document.schema_version ?? 'not said');
  const version = typeof document.torch_version === 'string' ? ` ${document.torch_version}` : '';
  return {
    format: 'pytorch',
    producer: `PyTorch${version} (torch.export)`,
    tensors: [...weights.values()].map(
      (tensor): StoredWeight => ({ tensor, layer: tensor.name.includes('.') ? tensor.name.slice(0, tensor.name.lastIndexOf('.')) : null }),
    ),
    details: { container: 'torch.export zip', schema },
    warnings: [],
    files: [name],
    map: async () => {
      const { buildExportedMap } = await import('../../dialects/torch/exported.js');
      const { isLookedAt } = await import('../../dialects/torch/constants.js');
      const { withKnown } = await import('../../model/numbers.js');
      const known = new Map<string, Tensor>();
      for (const [name, tensor] of weights) known.set(name, isLookedAt(tensor) ? await withKnown(tensor) : tensor);
      return inTurns(
        buildExportedMap(
          { document, tensor: (name) => known.get(name) },
          { file, producer: `PyTorch${version}`, inputShape: options.inputShape, inference: options.inference === true },
        ),
      );
    },
  };
}

/** The only one, or the one that the caller names. */
function chosenProgram(programs: readonly string[], options: ReadOptions, file: string): string {
  if (programs.length === 1) return programs[0]!;
  const named = new Map(programs.map((member) => [PROGRAM.exec(member)![2]!, member]));
  const chosen = options.weightsKey === undefined ? undefined : named.get(options.weightsKey);
  if (chosen !== undefined) return chosen;
  const [first] = named.keys();
  throw new ModelError('usage', `it is a package of several programs: ${listed([...named.keys()])}. Name one, as in --weights-key ${first}`, { file });
}

async function readJson(zip: ZipArchive, name: string, file: string): Promise<JsonObject> {
  const entry = zip.get(name);
  if (!entry) throw new ModelError('malformed', `there is no ${name} in the archive`, { file });
  if (entry.byteLength > MAX_JSON_BYTES) throw new ModelError('unsafe', `${name} has ${entry.byteLength} bytes, which no program needs`, { file });
  const member = await entry.source();
  const text = new TextDecoder().decode(await member.read(0, member.byteLength));
  checkJson(text, file);
  let parsed: unknown;
  try {
    // Python writes infinite numbers as words that JSON does not have.
    parsed = JSON.parse(text.replace(/([:[,]\s*)(-?Infinity|NaN)(?=\s*[,\]}])/g, '$1"$2"'));
  } catch (cause) {
    throw new ModelError('malformed', `${name} is no JSON`, { file }, cause);
  }
  if (!isObject(parsed)) throw new ModelError('malformed', `${name} is no object`, { file });
  return parsed;
}

/** Parameters, buffers and constants by name. */
async function readWeights(zip: ZipArchive, program: string, file: string): Promise<Map<string, Tensor>> {
  const [, prefix, model] = PROGRAM.exec(program) ?? [];
  const found = new Map<string, Tensor>();
  if (model === undefined) {
    const folder = program.slice(0, -'serialized_exported_program.json'.length);
    // torch 2.1 called what torch.save wrote a JSON file.
    for (const part of ['serialized_state_dict.json', 'serialized_state_dict.pt', 'serialized_constants.pt'])
      await addDictionary(zip, `${folder}${part}`, file, found);
    return found;
  }
  for (const kind of ['weights', 'constants']) {
    const folder = `${prefix ?? ''}data/${kind}/`;
    await addDictionary(zip, `${folder}${model}.pt`, file, found);
    await addMembers(zip, folder, `${folder}${model}_${kind}_config.json`, file, found);
  }
  return found;
}

/** What torch.save wrote into a member. */
async function addDictionary(zip: ZipArchive, name: string, file: string, found: Map<string, Tensor>): Promise<void> {
  const entry = zip.get(name);
  if (!entry || entry.byteLength === 0) return;
  const content = await readZipContent(await entry.source());
  // A dictionary may well be empty.
  if (content.value instanceof Map && content.value.size === 0) return;
  for (const named of findModel(content, file).views) found.set(named.name, viewTensor(named, file));
}

/** Every weight as a member: the bytes of its storage, which several may share. */
async function addMembers(zip: ZipArchive, folder: string, config: string, file: string, found: Map<string, Tensor>): Promise<void> {
  if (!zip.get(config)) return;
  const { config: entries } = await readJson(zip, config, file);
  if (!isObject(entries)) throw new ModelError('malformed', `${config} lists nothing`, { file });
  for (const [name, payload] of Object.entries(entries)) {
    const place = { file, tensor: name };
    const meta = isObject(payload) && isObject(payload.tensor_meta) ? payload.tensor_meta : null;
    if (!isObject(payload) || payload.use_pickle === true || !meta)
      throw new ModelError('unsupported', 'it is an object of its own, or a tensor of a kind that is not read', place);
    const entry = zip.get(`${folder}${payload.path_name}`);
    if (!entry) throw new ModelError('malformed', `there is no ${String(payload.path_name).slice(0, 200)}, which holds it`, place);
    const dtype = typeof meta.dtype === 'number' ? EXPORTED_TYPES[meta.dtype] : undefined;
    if (!dtype) throw new ModelError('unsupported', `its data type ${String(meta.dtype).slice(0, 40)} is not read`, place);
    const [shape, strides] = [numbersOf(meta.sizes, place), numbersOf(meta.strides, place)];
    const [offset] = numbersOf([meta.storage_offset], place);
    if (!entry.byteLength && shape.every((size) => size > 0))
      throw new ModelError('malformed', `${entry.name} is empty; ${DTYPE_BYTES[dtype]} bytes or more are needed`, place);
    found.set(name, storedTensor({ name, dtype, shape, strides, offset: offset!, source: await entry.source(), origin: { file, name } }));
  }
}

function numbersOf(sizes: unknown, place: { readonly file: string; readonly tensor: string }): number[] {
  if (!Array.isArray(sizes)) throw new ModelError('malformed', 'its shape is no list', place);
  return sizes.map((size: unknown) => {
    const number = isObject(size) ? size.as_int : undefined;
    if (!Number.isSafeInteger(number) || (number as number) < 0) throw new ModelError('malformed', 'its shape has a size that is no count', place);
    return number as number;
  });
}
