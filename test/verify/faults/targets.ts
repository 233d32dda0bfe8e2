/** Puts faults into what is written of a net in any format: the net is written with the fault in its layer map, and verified as if without. */
import { memorySink } from '../../../src/bytes/byte-sink.js';
import { memoryFileSet } from '../../../src/bytes/file-set.js';
import { type ConvertResult, convert } from '../../../src/convert.js';
import { isModelError } from '../../../src/errors.js';
import type { LayerMap } from '../../../src/model/layer-map.js';
import { nodeFileSet } from '../../../src/node/index.js';
import type { EngineModel } from '../../../src/verify/engine.js';
import type { Report } from '../../../src/verify/report.js';
import { verifyConversion } from '../../../src/verify/verify.js';
import { type MapFault, mapFaults } from './any-map.js';
import type { Found } from './catalogue.js';
import type { ForeignNet } from './foreign.js';

/** Formats with the name of the file that is loaded, and what they need said. */
export const TARGETS = {
  onnx: { file: 'net.onnx', options: { opset: 20 } },
  tfjs: { file: 'model.json' },
  'tfjs-graph': { file: 'model.json' },
  'keras-h5': { file: 'net.h5' },
  'keras-v3': { file: 'net.keras' },
  caffe: { file: 'net.caffemodel' },
  pytorch: { file: 'net.pth' },
  safetensors: { file: 'net.safetensors', options: { names: 'canonical' } },
  npz: { file: 'net.npz', options: { names: 'canonical' } },
} as const satisfies Readonly<Record<string, { readonly file: string; readonly options?: Parameters<typeof convert>[3] }>>;

export type TargetFormat = keyof typeof TARGETS;

export interface TargetSubject {
  readonly faults: readonly MapFault[];
  /** What verifying the file with a fault came to; null one without. */
  find(fault: MapFault | null): Promise<Found>;
  close(): Promise<void>;
}

/** @throws ModelError where the net cannot be written so */
export async function targetSubject({ path, prototxt, options }: ForeignNet, format: TargetFormat): Promise<TargetSubject> {
  const files = await nodeFileSet(path);
  const { file, options: own } = TARGETS[format] as (typeof TARGETS)['onnx'];
  const written = async (change?: MapFault['change']): Promise<ConvertResult & { bytes: ReadonlyMap<string, Uint8Array> }> => {
    const sink = memorySink();
    const rewrite = change && (async (map: LayerMap) => ({ map: change(map), change: { transform: 'fault', message: 'a fault', layers: [] } }));
    const result = await convert(files, sink, file, { ...options, ...own, to: format, prototxt, rewrite });
    return { ...result, bytes: sink.files };
  };
  try {
    const right = await written();
    const source: EngineModel = { files, path, prototxt };
    const verify = (bytes: ReadonlyMap<string, Uint8Array>) =>
      verifyConversion(
        { source, model: right.model, map: right.map, edited: right.edited, target: { files: memoryFileSet(Object.fromEntries(bytes), file), format } },
        {},
      );
    return {
      faults: right.map ? mapFaults(right.edited?.map ?? right.map) : [],
      close: () => files.close(),
      async find(fault) {
        try {
          const { bytes } = fault ? await written(fault.change) : right;
          const isSame = [...bytes].every(([name, each]) => isSpoken(name) || Buffer.compare(each, right.bytes.get(name) ?? new Uint8Array()) === 0);
          if (fault && isSame) return nothing('unchanged', '');
          return found(await verify(bytes));
        } catch (error) {
          if (!isModelError(error)) throw error;
          return nothing('refused', error.message);
        }
      },
    };
  } catch (error) {
    await files.close();
    throw error;
  }
}

/** The class beside a PyTorch file: nothing here runs it, and a match says that weights alone were compared. */
const isSpoken = (name: string) => name.endsWith('.py');

function nothing(verdict: Found['verdict'], said: string): Found {
  return { verdict, first: null, layer: null, explainedBy: [], isSame: false, said };
}

function found({ verdict, cause, firstDifference, notes }: Report): Found {
  return {
    verdict,
    first: firstDifference?.layer ?? null,
    layer: cause?.layer ?? null,
    explainedBy: (cause?.explainedBy ?? []).map(({ kind, layer }) => ({ kind, layer })),
    isSame: false,
    said: cause?.message ?? notes.find((note) => note.includes('kind of mistake')) ?? firstDifference?.message ?? '',
  };
}
