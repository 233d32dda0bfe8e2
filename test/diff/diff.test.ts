/** Which tensor is which, what the layers are, and what is said of both files. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { describe, expect, it } from 'vitest';
import { memorySink } from '../../src/bytes/byte-sink.js';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { convert } from '../../src/convert.js';
import { diffFiles } from '../../src/diff/diff.js';
import { joinScales } from '../../src/diff/joined-scales.js';
import { alignSequences } from '../../src/diff/sequence.js';
import type { LayerMap } from '../../src/model/layer-map.js';
import { makeLayer } from '../../src/model/ops/index.js';
import { permute } from '../../src/model/tensor.js';
import { openModel } from '../../src/readers/open.js';
import { renderDiff } from '../../src/report/html/diff.js';
import { ROOT } from '../cli/run-cli.js';
import { ARCHITECTURE_CASES, openDialect } from '../dialects.js';
import { HOSTILE } from '../report/examples.js';
import { expectCpuSeconds } from '../speed.js';
import { branchedNet } from '../verify/faults/nets.js';
import { changed, diffOf, floats, onnx, random, safetensors, tensorOf, texts, withWeight } from './files.js';

const validate = new Ajv2020({ strict: false, allErrors: true }).compile(JSON.parse(readFileSync(join(ROOT, 'schemas/diff.schema.json'), 'utf8')));

const LAYERS = ['block.conv1', 'block.conv2', 'block.conv3', 'head'];
const weightsOf = (names: readonly string[]) => names.flatMap((name, i) => [random(`${name}.weight`, [8, 8 + i]), random(`${name}.bias`, [8])]);
const plain = weightsOf(LAYERS);
const renamed = (change: (name: string) => string) => plain.map((tensor) => ({ ...tensor, name: change(tensor.name) }));

describe('a net in Caffe, which normalises in one layer and scales in another', () => {
  it('has the same weights as in PyTorch, and differs where one of them does', async () => {
    const { folder } = ARCHITECTURE_CASES.find(({ title }) => title.endsWith('/resnet-grey'))!;
    const { files, options } = openDialect(folder);
    const sink = memorySink();
    await convert(files, sink, 'model.caffemodel', { ...options, to: 'caffe' });
    const caffe = memoryFileSet(Object.fromEntries(sink.files), 'model.caffemodel');
    const document = await diffFiles(files, caffe, { a: options });
    expect(document.verdict.equal).toBe(true);
    expect(document.totals).toMatchObject({ different: 0, 'only-in-a': 0, 'only-in-b': 0 });
    // By names alone: bn1 of the one is the last layer of the other's two.
    const map = await (await openModel(caffe, {})).map();
    const scaled = withWeight(map, 'bn1', 'operand', (tensor) => floats('bn1/1', tensor.shape, new Array(4).fill(9)));
    const joined = await joinScales(scaled);
    expect(joined.layers.find(({ name }) => name === 'bn1')).toMatchObject({ op: 'BatchNormalization', weights: { bias: { shape: [4] } } });
    expect(joined.layers.some(({ name }) => name.startsWith('bn1/'))).toBe(false);
  });
});

describe('a net in Keras, which pads before its layers and has an epsilon that is not below 1.001e-5', () => {
  it('is wired as in ONNX, and not where its padding is another', async () => {
    const { folder } = ARCHITECTURE_CASES.find(({ title }) => title.endsWith('/resnet-grey'))!;
    const { files, options } = openDialect(folder);
    const to = async (format: string, name: string, more: object = {}) => {
      const sink = memorySink();
      await convert(files, sink, name, { ...options, ...more, to: format });
      return memoryFileSet(Object.fromEntries(sink.files), name);
    };
    const keras = await to('keras-h5', 'model.h5');
    const same = await diffFiles(await to('onnx', 'model.onnx'), keras);
    expect(same.structure?.changed).toEqual([]);
    expect(same.verdict.equal).toBe(true);
    const other = await diffFiles(await to('onnx', 'model.onnx', { assume: { 'conv1.pads': '2' } }), keras);
    expect(other.structure?.changed.flatMap(({ what }) => what)).toContain('pads 2,2,2,2 and 3,3,3,3');
    expect(other.verdict.equal).toBe(false);
  });
});

describe('which tensor is which', () => {
  it('is told by names, without what training code puts before all of them', async () => {
    const document = await diffOf(await safetensors(...plain), await safetensors(...renamed((name) => `module.${name}`).reverse()));
    expect(document.totals.equal).toBe(8);
    expect(document.tensors.every(({ alignedBy }) => alignedBy === 'name')).toBe(true);
  });

  it('is told by position where no name is the same, whatever was trained', async () => {
    // Names are sorted in the file, as they are here.
    const others = await Promise.all(renamed((name) => `z.${name}`).map((tensor) => changed(tensor, (value) => value + 0.4)));
    const document = await diffOf(await safetensors(...plain), await safetensors(random('extra', [3]), ...others));
    expect(document.tensors.filter(({ a, b }) => a && b).map(({ a, b }) => b!.name === `z.${a!.name}`)).toEqual(new Array(8).fill(true));
    expect(document.totals).toMatchObject({ different: 8, 'only-in-b': 1 });
  });

  it('is told by content where neither names nor order say it', async () => {
    const shuffled = renamed((name) => `t${[...name].reverse().join('')}`);
    const document = await diffOf(await safetensors(...plain), await safetensors(...shuffled, random('one more', [8])));
    expect(document.totals).toMatchObject({ equal: 8, 'only-in-b': 1 });
    expect(new Set(document.tensors.flatMap(({ alignedBy }) => alignedBy ?? []))).toEqual(new Set(['content']));
  });

  it('is told by content through layouts, too', async () => {
    const turned = renamed((name) => `t${[...name].reverse().join('')}`).map((tensor) => (tensor.shape.length === 2 ? permute(tensor, [1, 0]) : tensor));
    const document = await diffOf(await safetensors(...plain), await safetensors(...turned, random('one more', [8])));
    expect(document.totals).toMatchObject({ equal: 4, changed: 4, 'only-in-b': 1 });
  });

  it('weights that occur twice are paired one by one', async () => {
    const tied = [random('embed', [6, 4]), { ...random('embed', [6, 4]), name: 'unembed' }];
    expect((await diffOf(await safetensors(...tied), await safetensors(...tied))).verdict.kind).toBe('identical');
    const others = tied.map((tensor, i) => ({ ...tensor, name: `w${i}` }));
    expect((await diffOf(await safetensors(...tied), await safetensors(...others, random('x', [6, 4])))).totals).toMatchObject({ equal: 2, 'only-in-b': 1 });
    const once = await diffOf(await safetensors(...tied), await safetensors(tied[0]!));
    expect(once.totals).toMatchObject({ equal: 1, 'only-in-a': 1 });
    expect(tensorOf(once, 'unembed').elsewhere).toBe('embed');
    expect(once.verdict.equal).toBe(false);
  });

  it('what is missing is named, on either side', async () => {
    const document = await diffOf(await safetensors(...plain.slice(0, 7)), await safetensors(...plain.slice(1)));
    expect(document.tensors.filter(({ status }) => status.startsWith('only')).map(({ status, a, b }) => [status, (a ?? b)!.name])).toEqual([
      ['only-in-a', 'block.conv1.weight'],
      ['only-in-b', 'head.bias'],
    ]);
    expect(document.verdict).toMatchObject({ kind: 'fine-tuned', equal: false });
  });

  it('weights that two layers exchanged differ, and where they are is told', async () => {
    const exchanged = plain.map((tensor, i) => (i === 1 ? { ...plain[3]!, name: tensor.name } : i === 3 ? { ...plain[1]!, name: tensor.name } : tensor));
    const document = await diffOf(await safetensors(...plain), await safetensors(...exchanged));
    expect(document.totals).toMatchObject({ equal: 6, different: 2 });
    expect(tensorOf(document, 'block.conv1', 'bias').elsewhere).toBe('block.conv2.bias');
  });

  it('a counter of batches is no weight', async () => {
    const counter = floats('block.bn.num_batches_tracked', [1], [7]);
    expect((await diffOf(await safetensors(...plain, counter), await safetensors(...plain))).verdict.kind).toBe('identical');
  });
});

describe('the first line', () => {
  it('names the layers that fine-tuning changed', async () => {
    const tuned = await Promise.all(plain.map((tensor, i) => (i < 6 ? tensor : changed(tensor, (value) => value * 1.5 + 0.2))));
    const document = await diffOf(await safetensors(...plain), await safetensors(...tuned));
    expect(document.verdict).toEqual({ kind: 'fine-tuned', equal: false, sentence: 'same net, fine-tuned: 1 of 4 layers differs (head)' });
  });

  it('says so of another head, of other sizes', async () => {
    const other = [...plain.slice(0, 6), random('head.weight', [3, 11]), random('head.bias', [3])];
    const document = await diffOf(await safetensors(...plain), await safetensors(...other));
    expect(document.verdict.sentence).toBe('same net, fine-tuned: 1 of 4 layers differs (head)');
    expect(tensorOf(document, 'head', 'weight')).toMatchObject({ status: 'different', statistics: null, a: { shape: [8, 11] }, b: { shape: [3, 11] } });
  });

  it('tells a net trained anew from one that was trained on', async () => {
    const anew = plain.map(({ name, shape }) => ({ ...random(`seed 2 ${name}`, shape), name }));
    expect((await diffOf(await safetensors(...plain), await safetensors(...anew))).verdict).toMatchObject({
      kind: 'same-net',
      sentence: 'same net, other weights: 4 of 4 layers differ',
    });
    const on = await Promise.all(plain.map((tensor) => changed(tensor, (value, i) => value + 0.001 * (i % 3))));
    expect((await diffOf(await safetensors(...plain), await safetensors(...on))).verdict).toMatchObject({
      kind: 'fine-tuned',
      sentence: 'same net, fine-tuned: 4 of 4 layers differ, all of them a little',
    });
  });

  it('tells different nets', async () => {
    const other = ['x', 'y', 'z'].map((name) => random(name, [5, 7]));
    const { verdict } = await diffOf(await safetensors(...plain), await safetensors(...other));
    expect(verdict).toMatchObject({ kind: 'different-nets', equal: false });
    expect(verdict.sentence).toBe('different nets: safetensors of 336 parameters against safetensors of 105 parameters');
  });
});

describe('layers', () => {
  const net = branchedNet();
  const original = onnx(net);
  const withLayers = (change: (layers: LayerMap['layers']) => LayerMap['layers']) => onnx({ ...net, layers: change(net.layers) });
  const withAttributes = (name: string, attributes: Record<string, number | readonly number[]>) =>
    withLayers((layers) => layers.map((layer) => (layer.name === name ? { ...layer, attributes: { ...layer.attributes, ...attributes } } : layer)));

  it('nothing is found between equals', async () => {
    const document = await diffOf(await original, await original);
    expect(document.structure).toMatchObject({ onlyInA: [], onlyInB: [], changed: [], ports: [], judged: true });
    expect(document.verdict).toMatchObject({ kind: 'identical', equal: true });
  });

  it.each([
    ['strides and pads', withAttributes('conv2', { pads: [0, 0, 2, 2] }), 'conv2', ['pads 1,1,1,1 and 0,0,2,2']],
    ['epsilon', withAttributes('bn1', { epsilon: 1e-5 }), 'bn1', ['epsilon 0.0010000000474974513 and 0.000009999999747378752']],
    [
      'average for max pooling',
      withLayers((layers) =>
        layers.map((layer) =>
          layer.name === 'pool1' ? makeLayer({ ...layer, op: 'AveragePool', attributes: { kernel_shape: [2, 2], strides: [2, 2] } }) : layer,
        ),
      ),
      null,
      [],
    ],
  ])('%s', async (_what, files, layer, what) => {
    const document = await diffOf(await original, await files);
    expect(document.verdict).toMatchObject({ kind: 'other-wiring', equal: false });
    expect(document.verdict.sentence).toContain('the same weights, other wiring');
    if (layer) expect(document.structure!.changed).toMatchObject([{ a: { name: layer }, what }]);
    else expect(document.structure).toMatchObject({ onlyInA: [{ op: 'MaxPool' }], onlyInB: [{ op: 'AveragePool' }] });
  });

  it('a layer that is gone', async () => {
    const without = await withLayers((layers) =>
      layers.filter(({ name }) => name !== 'relu2').map((layer) => (layer.name === 'pool2' ? { ...layer, inputs: ['conv2'] } : layer)),
    );
    const { structure, verdict } = await diffOf(await original, without);
    expect(structure!.onlyInA).toEqual([{ name: 'relu2', op: 'Relu' }]);
    expect(verdict.equal).toBe(false);
  });

  it('inputs of another size', async () => {
    const other = await onnx({ ...net, inputs: [{ ...net.inputs[0]!, shape: ['N', 3, 19, 17] }] });
    expect((await diffOf(await original, other)).structure!.ports).toEqual(['input "input" is [?, 3, 15, 17] (nchw), "input" is [?, 3, 19, 17] (nchw)']);
  });

  it('a weight that is in another layer', async () => {
    const other = await onnx(withWeight(net, 'conv3b', 'bias', () => net.layers.find(({ name }) => name === 'conv3a')!.weights.bias!));
    const document = await diffOf(await original, other);
    expect(tensorOf(document, 'conv3b', 'bias').status).toBe('different');
    expect(texts(tensorOf(document, 'conv3a', 'bias'))).toEqual([]);
  });
});

describe('files that mean harm', () => {
  it('names are shown as text, and fit the schema', async () => {
    const a = await safetensors({ ...random('x', [4]), name: `${HOSTILE}.weight` }, floats('y', [2], [Number.NaN, Number.POSITIVE_INFINITY]));
    const b = await safetensors({ ...random('z', [4]), name: `${HOSTILE}.weight` }, floats('y', [2], [1, 2]));
    const document = await diffOf(a, b);
    const read = JSON.parse(JSON.stringify(document));
    expect(validate(read), JSON.stringify(validate.errors)).toBe(true);
    const page = await renderDiff(document);
    expect(page).not.toMatch(/<script/i);
    expect(page).toContain('&#60;');
  });

  it('fifty thousand tensors of one size are paired in seconds', async () => {
    const header: Record<string, object> = {};
    const count = 50_000;
    for (let i = 0; i < count; i++) header[`t${i}`] = { dtype: 'U8', shape: [1], data_offsets: [i, i + 1] };
    const other = Object.fromEntries(Object.entries(header).map(([name, entry]) => [`u${name}`, entry]));
    Object.assign(other, { more: { dtype: 'U8', shape: [1], data_offsets: [count, count + 1] } });
    const file = (head: object) => {
      const text = new TextEncoder().encode(JSON.stringify(head));
      const bytes = new Uint8Array(8 + text.byteLength + Object.keys(head).length);
      new DataView(bytes.buffer).setBigUint64(0, BigInt(text.byteLength), true);
      bytes.set(text, 8);
      return memoryFileSet({ 'w.safetensors': bytes }, 'w.safetensors');
    };
    const startedAt = process.cpuUsage().user;
    const document = await diffFiles(file(header), file(other));
    expect(document.totals.equal).toBe(count);
    expectCpuSeconds((process.cpuUsage().user - startedAt) / 1e6, 15);
  }, 60_000);

  it('a file without weights is an error that names it', async () => {
    await expect(diffOf(await safetensors(), await safetensors(...plain))).rejects.toMatchObject({ name: 'ModelError' });
  });
});

describe('sequences', () => {
  const aligned = (a: string, b: string) => alignSequences([...a], [...b]).map(([i, j]) => `${a[i]}${i}${j}`);

  it('are lined up at their ends and in between', () => {
    expect(aligned('abcde', 'abcde')).toEqual(['a00', 'b11', 'c22', 'd33', 'e44']);
    expect(aligned('abde', 'abcde')).toEqual(['a00', 'b11', 'd23', 'e34']);
    expect(aligned('axbyc', 'zazbzc')).toEqual(['a01', 'b23', 'c45']);
    expect(aligned('', 'abc')).toEqual([]);
  });

  it('too long for the best are lined up in order', () => {
    const [a, b] = [Array.from({ length: 6000 }, (_, i) => `k${i}`), Array.from({ length: 6000 }, (_, i) => `k${i + 10}`)];
    const pairs = alignSequences(a, b);
    expect(pairs).toHaveLength(5990);
    expect(pairs.every(([i, j]) => a[i] === b[j])).toBe(true);
  });
});
