/**
 * TorchScript files: the code of a program beside its pickle, and the constants that the code refers to.
 *
 * @see https://github.com/pytorch/pytorch/blob/main/torch/csrc/jit/docs/serialization.md
 */
import { inTurns } from '../../bytes/breath.js';
import type { ByteSource } from '../../bytes/byte-source.js';
import { type ParseBudget, parseCode } from '../../containers/torchscript/parser.js';
import type { CodeFile } from '../../containers/torchscript/syntax.js';
import { isLookedAt } from '../../dialects/torch/constants.js';
import type { Program } from '../../dialects/torch/interpreter.js';
import { buildTorchMap, readsRowsApart } from '../../dialects/torch/program.js';
import { isModelError, ModelError } from '../../errors.js';
import { type DType, isFloatDType } from '../../model/dtype.js';
import type { Dim, LayerMap } from '../../model/layer-map.js';
import { withKnown } from '../../model/numbers.js';
import type { Tensor } from '../../model/tensor.js';
import type { ReadOptions } from '../reader.js';

/** The parts of a TorchScript file that say what its program does. */
export interface Script {
  /** Names of the files of code, such as 'code/__torch__/torch/nn/functional.py'. */
  readonly code: readonly string[];
  /** Opens a member of the archive by its name. */
  open(name: string): Promise<ByteSource | null>;
  /** What constants.pkl holds. */
  readonly constants: readonly unknown[];
  /** Of the operators' meanings, as the archive's member "version" says it. */
  readonly version: number;
}

/** The code of the largest scripted nets has 2 MB. */
const MAX_CODE_BYTES = 2 ** 25;
const MAX_CODE_FILES = 50_000;

export interface ScriptContext {
  readonly file: string;
  readonly options: ReadOptions;
  /** The root of data.pkl. */
  readonly root: unknown;
  /** The tensor of each view that the pickles hold. */
  readonly tensors: ReadonlyMap<unknown, Tensor>;
}

/** @throws ModelError 'unsupported' listing what of the program cannot be translated */
export async function scriptMap(script: Script, { file, options, root, tensors }: ScriptContext): Promise<LayerMap> {
  const code = await readCode(script, file);
  const known = new Map<unknown, Tensor>();
  for (const [view, tensor] of tensors) known.set(view, isLookedAt(tensor) ? await withKnown(tensor) : tensor);
  const program: Program = { code, version: script.version, constants: script.constants, tensor: (value) => known.get(value) };
  const build = (inputShape: readonly Dim[] | undefined) =>
    inTurns(
      buildTorchMap(program, root, {
        file,
        producer: 'PyTorch (TorchScript)',
        inputShape,
        recordedInputs: options.recordedInputs,
        floats: floatsOf([...tensors.values()]),
        inference: options.inference === true,
        assume: options.assume,
      }),
    );
  const { inputShape, recordedShape, recordedInputs = [] } = options;
  if (inputShape !== undefined || recordedShape === undefined || recordedInputs.length !== 1) return build(inputShape ?? recordedShape);
  return recordedMap(build, recordedShape, recordedInputs[0]!.shape);
}

/** A net with a free batch, as recorded rows mostly are; where a program reads them apart, or must know how many there are, they are steps of a sequence. */
async function recordedMap(build: (shape: readonly Dim[]) => Promise<LayerMap>, free: readonly Dim[], recorded: readonly Dim[]): Promise<LayerMap> {
  const freely = await build(free).catch((error: unknown) => (isModelError(error, 'unsupported') ? error : Promise.reject(error)));
  if (!isModelError(freely) && !readsRowsApart(freely)) return freely;
  const map = await build(recorded).catch((error: unknown) => Promise.reject(isModelError(freely) ? freely : error));
  const message = `the program reads the places of its input's first axis apart: they are taken to be ${recorded[0]}, as in the recording`;
  return { ...map, warnings: [...map.warnings, { code: 'assumed', message }] };
}

/** What weights are of that are all of one kind: so is what flows into a net of half or double precision. Numbers of Python's are doubles in every net. */
function floatsOf(tensors: readonly Tensor[]): DType {
  const weights = tensors.filter(({ shape }) => shape.length > 0);
  const [first = 'float32', ...others] = new Set(weights.map(({ dtype }) => dtype).filter(isFloatDType));
  return others.length === 0 ? first : 'float32';
}

async function readCode({ code, open }: Script, file: string): Promise<Program['code']> {
  if (code.length > MAX_CODE_FILES) throw new ModelError('unsafe', `the program has ${code.length} files of code`, { file });
  const texts = new Map<string, { readonly name: string; readonly text: string }>();
  let byteLength = 0;
  for (const name of code) {
    const source = await open(name);
    if (!source) continue;
    byteLength += source.byteLength;
    if (byteLength > MAX_CODE_BYTES) throw new ModelError('unsafe', `the program has more than ${MAX_CODE_BYTES} bytes of code`, { file });
    const text = new TextDecoder().decode(await source.read(0, source.byteLength));
    texts.set(
      name
        .replace(/^code\//, '')
        .replace(/\.py$/, '')
        .replaceAll('/', '.'),
      { name, text },
    );
  }
  const parsed = new Map<string, { readonly file: string; readonly code: CodeFile }>();
  const budget: ParseBudget = { parts: 0 };
  return (module) => {
    const known = parsed.get(module);
    if (known) return known;
    const found = texts.get(module);
    if (!found) return null;
    const made = { file: found.name, code: parseCode(found.text, found.name, budget) };
    parsed.set(module, made);
    return made;
  };
}
