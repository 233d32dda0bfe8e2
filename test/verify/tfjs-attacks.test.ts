/** TensorFlow.js files that hold the right weights and are not what they were made from. */
import { describe, expect, it } from 'vitest';
import type { LayerMap } from '../../src/model/layer-map.js';
import { makeLayer } from '../../src/model/ops/index.js';
import { mapOf, spread, tensor, verifyWrittenMap, written } from './small-files.js';

const X: LayerMap['inputs'][0] = { name: 'x', value: 'x', dtype: 'float32', shape: ['N', 4], layout: 'other' };
const weights = (name: string, at: number) => ({
  kernel: tensor(`${name}.k`, [3, 4], spread(12, -1, 1 + at)),
  bias: tensor(`${name}.b`, [3], spread(3, -at, 1)),
});

/** Two heads of one shape, so that nothing but their identity tells them apart. */
const twoHeads = mapOf(
  [
    { name: 'one', op: 'Gemm', inputs: ['x'], outputs: ['a'], weights: weights('one', 1) },
    { name: 'two', op: 'Gemm', inputs: ['x'], outputs: ['b'], weights: weights('two', 2) },
  ],
  [X],
  ['a', 'b'].map((value) => ({ name: value, value, dtype: 'float32', shape: ['N', 3], layout: 'other' })),
);

/** The same with outputs of unlike sizes. */
const unlikeHeads: LayerMap = {
  ...twoHeads,
  layers: [...twoHeads.layers.slice(0, 1), makeLayer({ name: 'two', op: 'Gemm', inputs: ['x'], outputs: ['b'], weights: { kernel: tensor('w', [2, 4]) } })],
  outputs: [twoHeads.outputs[0]!, { ...twoHeads.outputs[1]!, shape: ['N', 2] }],
};

interface Json {
  [key: string]: Json;
}

async function attacked(format: 'tfjs' | 'tfjs-graph', edit: (json: Json) => void, map = twoHeads) {
  const files = await written(map, format);
  const json = JSON.parse(new TextDecoder().decode(files['model.json'])) as Json;
  edit(json);
  return verifyWrittenMap(map, { ...files, 'model.json': new TextEncoder().encode(JSON.stringify(json)) }, {}, format);
}

/** Exchanges what two keys hold, their order kept. */
function exchangeValues(object: Json, first: string, second: string) {
  [object[first], object[second]] = [object[second]!, object[first]!];
}

describe.each(['tfjs', 'tfjs-graph'] as const)('%s', (format) => {
  it('is a match as it was written', async () => {
    expect(await attacked(format, () => {})).toMatchObject({ verdict: 'match', compared: { outputs: 2, of: 2 } });
  });
});

describe('outputs exchanged', () => {
  it('in the list of a layers model', async () => {
    const report = await attacked('tfjs', ({ modelTopology }) => {
      const config = (modelTopology!.model_config ?? modelTopology)!.config!;
      (config.output_layers as unknown as unknown[]).reverse();
    });
    expect(report).toMatchObject({ verdict: 'mismatch', outputs: [{ passed: false }, { passed: false }] });
  });

  it('in the list of a layers model, where shapes tell them apart', async () => {
    const report = await attacked(
      'tfjs',
      ({ modelTopology }) => {
        const config = (modelTopology!.model_config ?? modelTopology)!.config!;
        (config.output_layers as unknown as unknown[]).reverse();
      },
      unlikeHeads,
    );
    expect(report).toMatchObject({ verdict: 'mismatch', interface: [{ kind: 'order', judged: true }] });
  });

  it('in the signature of a graph model', async () => {
    const report = await attacked('tfjs-graph', (json) => {
      const outputs = json.signature!.outputs!;
      const [first, second] = Object.keys(outputs) as [string, string];
      exchangeValues(outputs, first, second);
    });
    expect(report).toMatchObject({ verdict: 'mismatch' });
  });

  it('in the order of the signature of a graph model', async () => {
    const report = await attacked('tfjs-graph', (json) => {
      json.signature!.outputs = Object.fromEntries(Object.entries(json.signature!.outputs!).reverse()) as Json;
    });
    expect(report).toMatchObject({ verdict: 'mismatch' });
  });
});

describe('a batch', () => {
  it('that is fixed to one in a layers model', async () => {
    const report = await attacked('tfjs', ({ modelTopology }) => {
      const config = (modelTopology!.model_config ?? modelTopology)!.config!;
      for (const layer of config.layers as unknown as Json[])
        if (layer.config!.batch_input_shape) (layer.config!.batch_input_shape as unknown as number[])[0] = 1;
    });
    expect(report.verdict).toBe('mismatch');
  });

  it('that is fixed to one in a graph model', async () => {
    const report = await attacked('tfjs-graph', (json) => {
      for (const node of json.modelTopology!.node as unknown as Json[]) {
        const dim = node.attr?.shape?.shape?.dim as unknown as { size: string }[] | undefined;
        if (String(node.op) === 'Placeholder' && dim) dim[0]!.size = '1';
      }
      for (const input of Object.values(json.signature!.inputs!))
        (input as unknown as { tensorShape: { dim: { size: string }[] } }).tensorShape.dim[0]!.size = '1';
    });
    expect(report.verdict).toBe('mismatch');
  });
});
