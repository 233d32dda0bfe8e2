/**
 * TorchScript files of torch 1.0 to 1.2: a zip whose `model.json` lists the modules and where their tensors lie. Their weights are read; their
 * program, in a form that was given up with torch 1.3, is not followed.
 *
 * @see https://github.com/pytorch/pytorch/blob/v1.2.0/caffe2/proto/torch.proto
 */
import type { ByteSource } from '../../bytes/byte-source.js';
import { checkJson, isObject, type JsonObject } from '../../containers/json.js';
import { openZip, type ZipArchive } from '../../containers/zip.js';
import { ModelError } from '../../errors.js';
import type { DType } from '../../model/dtype.js';
import type { ModelFile, StoredWeight } from '../../model/layer-map.js';
import { storedTensor, type Tensor } from '../../model/tensor.js';
import type { ReadOptions } from '../reader.js';
import { wireWeights } from '../wire.js';
import { oldScriptName } from './recognise-content.js';

/** Modules and tensors of the largest nets take a few MB. */
const MAX_JSON_BYTES = 2 ** 25;
const MAX_DEPTH = 64;

/** caffe2.TensorProto.DataType, by its word and its number. */
const DTYPES: Readonly<Record<string, DType>> = {
  ...{ FLOAT: 'float32', INT32: 'int32', BOOL: 'bool', UINT8: 'uint8', INT8: 'int8', INT16: 'int16', INT64: 'int64', FLOAT16: 'float16', DOUBLE: 'float64' },
  ...{ 1: 'float32', 2: 'int32', 5: 'bool', 6: 'uint8', 7: 'int8', 9: 'int16', 10: 'int64', 12: 'float16', 13: 'float64' },
};

/** @returns null where the archive is no such file */
export async function readOldScript(source: ByteSource, name: string, options: ReadOptions): Promise<ModelFile | null> {
  const zip = await openZip(source);
  const member = oldScriptName(zip.entries.map((entry) => entry.name));
  if (member === null) return null;
  const file = source.name;
  const document = await readJson(zip, member, file);
  const tensors = await storedTensors(zip, member.slice(0, -'model.json'.length), document, file);
  const weights: StoredWeight[] = [];
  if (isObject(document.mainModule)) collect(document.mainModule, '', tensors, weights, file, 0);
  return {
    format: 'pytorch',
    producer: 'PyTorch (TorchScript)',
    tensors: weights,
    details: { container: 'TorchScript zip of torch 1.0 to 1.2 (model.json)' },
    warnings: [{ code: 'program-left-aside', message: 'its program is in the form of torch before 1.3, which is not followed; only its weights are read' }],
    files: [name],
    map: () => wireWeights(weights, { file, format: 'pytorch', producer: 'PyTorch', options }),
  };
}

async function readJson(zip: ZipArchive, member: string, file: string): Promise<JsonObject> {
  const entry = zip.get(member)!;
  if (entry.byteLength > MAX_JSON_BYTES) throw new ModelError('unsafe', `${member} has ${entry.byteLength} bytes, which no program needs`, { file });
  const source = await entry.source();
  const text = new TextDecoder().decode(await source.read(0, source.byteLength));
  checkJson(text, file);
  try {
    const parsed: unknown = JSON.parse(text);
    if (isObject(parsed)) return parsed;
  } catch (cause) {
    throw new ModelError('malformed', `${member} is no JSON`, { file }, cause);
  }
  throw new ModelError('malformed', `${member} is no object`, { file });
}

/** In the order by which modules refer to them; what a file of protobuf's JSON leaves out is zero. */
async function storedTensors(zip: ZipArchive, prefix: string, document: JsonObject, file: string): Promise<readonly ((name: string) => Tensor)[]> {
  const list = Array.isArray(document.tensors) ? document.tensors : [];
  return Promise.all(
    list.map(async (given: unknown, i) => {
      const meta = isObject(given) ? given : {};
      const key = isObject(meta.data) ? String(meta.data.key) : '';
      const source = await zip.get(`${prefix}${key}`)?.source();
      const numbers = (value: unknown) => (Array.isArray(value) ? value.map(Number) : []);
      const dtype = DTYPES[String(meta.dataType)];
      return (name: string) => {
        const place = { file, tensor: name };
        if (!dtype) throw new ModelError('unsupported', `its data type ${String(meta.dataType).slice(0, 40)} is not read`, place);
        if (!source) throw new ModelError('malformed', `there is no ${key.slice(0, 200) || `data of tensor ${i}`} in the archive`, place);
        const shape = numbers(meta.dims);
        const strides = Array.isArray(meta.strides) ? { strides: numbers(meta.strides) } : {};
        return storedTensor({ name, dtype, shape, ...strides, offset: Number(meta.offset ?? 0), source, origin: { file, name } });
      };
    }),
  );
}

function collect(module: JsonObject, path: string, tensors: readonly ((name: string) => Tensor)[], found: StoredWeight[], file: string, depth: number): void {
  if (depth > MAX_DEPTH) throw new ModelError('unsafe', `modules within modules are more than ${MAX_DEPTH} deep`, { file });
  const named = (name: unknown) => (path === '' ? String(name) : `${path}.${String(name)}`);
  for (const parameter of objects(module.parameters)) {
    const name = named(parameter.name);
    const tensor = tensors[Number(parameter.tensorId ?? 0)];
    if (!tensor) throw new ModelError('malformed', `it is said to be tensor ${String(parameter.tensorId)} of ${tensors.length}`, { file, tensor: name });
    found.push({ tensor: tensor(name), layer: path === '' ? null : path });
  }
  for (const inner of objects(module.submodules)) collect(inner, named(inner.name), tensors, found, file, depth + 1);
}

function objects(list: unknown): readonly JsonObject[] {
  return Array.isArray(list) ? list.filter(isObject) : [];
}
