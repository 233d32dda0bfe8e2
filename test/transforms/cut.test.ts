/** A net that ends elsewhere makes what its layers made before. */
import { expect, it } from 'vitest';
import type { LayerMap } from '../../src/model/layer-map.js';
import { editMap } from '../../src/transforms/index.js';
import { generateSample } from '../../src/verify/inputs.js';
import { runLayers } from '../../src/verify/reference/session.js';
import { Net, opsOf } from './contract.js';

function picture(layout: 'nchw' | 'nhwc' = 'nchw'): LayerMap {
  const net = new Net();
  const { build } = net;
  const x = net.input(layout === 'nchw' ? ['N', 3, 6, 5] : ['N', 6, 5, 3], layout);
  const conv = build.add('Conv', [x, net.weight('w', [4, 3, 3, 3]), net.weight('b', [4])], {}, 'stem');
  const relu = build.add('Relu', [conv], {}, 'stem/relu');
  const flat = build.add('Flatten', [relu], {}, 'flat');
  const bent = build.add('Tanh', [flat], {}, 'bent');
  const dense = build.add('Gemm', [bent, net.weight('d', [7, 48])], {}, 'dense');
  return net.map(build.add('Softmax', [dense], { axis: -1 }, 'prob'));
}

/** What each layer makes, channels-first. */
async function layersOf(map: LayerMap): Promise<Map<string, number[]>> {
  const values = new Map<string, number[]>();
  await runLayers(map, generateSample(map.inputs, 0, 5), (layer, { data }) => void values.set(layer.name, Array.from(data as ArrayLike<number>, Number)));
  return values;
}

async function made(map: LayerMap): Promise<number[][]> {
  const values = await runLayers(map, generateSample(map.inputs, 0, 5), () => {});
  return values.map(({ data }) => Array.from(data as ArrayLike<number>, Number));
}

it('a layer of the source that is several of the map ends in the last of them, and what follows is gone', async () => {
  const whole = picture();
  const { map, changes } = await editMap(whole, { until: 'stem' });
  expect(opsOf(map)).toEqual(['Conv', 'Relu']);
  expect(map.outputs).toMatchObject([{ name: 'stem', value: 'stem/relu', shape: ['N', 4, 4, 3], layout: 'nchw' }]);
  expect(await made(map)).toEqual([(await layersOf(whole)).get('stem/relu')]);
  expect(changes.map(({ transform, layers }) => [transform, layers])).toEqual([
    ['cut', ['stem/relu']],
    ['dead-ends', ['flat', 'bent', 'dense', 'prob']],
  ]);
});

it('outputs are those that are named, in their order; the net keeps what they need', async () => {
  const whole = picture();
  const { map } = await editMap(whole, { outputs: ['dense', 'out:prob', 'flat'] });
  const layers = await layersOf(whole);
  expect(map.outputs.map(({ name }) => name)).toEqual(['dense', 'out:prob', 'flat']);
  expect(await made(map)).toEqual([layers.get('dense'), layers.get('prob'), layers.get('flat')]);
});

it('a picture of a channels-last net is shown channels-last', async () => {
  const { map } = await editMap(picture('nhwc'), { until: 'stem' });
  expect(map.outputs).toMatchObject([{ shape: ['N', 4, 3, 4], layout: 'nhwc' }]);
});

it.each(['flat', 'bent'])('"%s" of a channels-last net has its elements in the order of the source', async (name) => {
  const whole = picture('nhwc');
  const { map } = await editMap(whole, { until: name });
  const first = (await layersOf(whole)).get(name)!;
  // The map counts [channel][pixel], the source [pixel][channel].
  const last = Array.from({ length: 48 }, (_, i) => first[(i % 4) * 12 + Math.floor(i / 4)]);
  expect(await made(map)).toEqual([last]);
});

it('behind a dense layer nothing is turned', async () => {
  expect(opsOf((await editMap(picture('nhwc'), { until: 'dense' })).map)).toEqual(['Conv', 'Relu', 'Flatten', 'Tanh', 'Gemm']);
});

it('an input that nothing depends on any more goes', async () => {
  const net = new Net();
  const [a, b] = [net.input(['N', 3], 'other', 'a'), net.input(['N', 3], 'other', 'b')];
  const left = net.build.add('Relu', [a], {}, 'left');
  const whole = net.map(net.build.add('Add', [left, b], {}, 'sum'));
  const { map, changes } = await editMap(whole, { until: 'left' });
  expect(map.inputs.map(({ name }) => name)).toEqual(['a']);
  expect(changes[1]!.message).toContain('the input "b"');
});

it.each([
  [{ until: 'stm' }, /"stem"/],
  [{ outputs: ['dense', 'dens', 'proob'] }, /"dense"[\s\S]*"prob"/],
  [{ until: 'dense', outputs: ['dense'] }, /one of them/],
  [{ outputs: ['dense', 'dense'] }, /twice/],
])('%j is a mistake of the user, and what was meant is named', async (edits, words) => {
  await expect(editMap(picture(), edits)).rejects.toThrow(expect.objectContaining({ kind: 'usage', message: expect.stringMatching(words) }));
});

it('a module of several layers is answered with the last of them', async () => {
  const net = new Net();
  const x = net.input(['N', 3, 6, 5], 'nchw');
  const bn = net.build.add('Relu', [net.build.add('Relu', [x], {}, 'layer1.0.bn1')], {}, 'layer1.0.bn1.add');
  const map = net.map(net.build.add('Flatten', [bn], {}, 'flat'));
  await expect(editMap(map, { until: 'layer1' })).rejects.toThrow(
    '"layer1" is a module of 2 layers. Name one of them; the last, in running order: "layer1.0.bn1" (Relu), "layer1.0.bn1.add" (Relu).',
  );
});
