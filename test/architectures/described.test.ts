/** Nets of one's own (`--arch file`): as text, as a document; and what is said of nets that nobody knows. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { describe, expect, it } from 'vitest';
import { architectureLayers } from '../../src/architectures/document.js';
import { describeArchitecture } from '../../src/architectures/index.js';
import { WORDS_OF_TEXT } from '../../src/architectures/text.js';
import { readNpyFile } from '../corpus.js';
import { ARCHITECTURE_CASES, openDialect } from '../dialects.js';
import { convertInMemory, runOnnx } from '../run-onnx.js';

const caseNamed = (name: string) => ARCHITECTURE_CASES.find(({ title }) => title === `architectures/${name}`)!.folder;
const schema = JSON.parse(readFileSync(fileURLToPath(new URL('../../schemas/architecture.schema.json', import.meta.url)), 'utf8'));
const validate = new Ajv2020().compile(schema);

/** Of the output's largest value. */
async function distance(folder: string, bytes: Uint8Array): Promise<number> {
  const [actual] = (await runOnnx(bytes, [await readNpyFile(join(folder, 'input.npy'))])).values();
  const expected = await readNpyFile(join(folder, 'output.npy'));
  expect(actual!.shape).toEqual(expected.shape);
  const scale = expected.data.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
  return expected.data.reduce((max, value, i) => Math.max(max, Math.abs(value - actual!.data[i]!)), 0) / scale;
}

const rootFile = (name: string) => readFileSync(fileURLToPath(new URL(`../../${name}`, import.meta.url)), 'utf8');
/** The README's own example. */
const FIVE_LINES = /```net\n([\s\S]*?)```/.exec(rootFile('README.md'))![1]!;
const BRANCHES = `
  input 3 x 16 x 16
  conv stem stride 2 pad 1 bn stem_bn silu as trunk
  conv left pad 1 relu as left
  conv right dilation 2 pad 2 relu from trunk
  concat left
  conv deep depthwise pad 1 hard-swish
  add trunk2
`;

const WORDY: readonly (readonly [name: string, text: string])[] = [
  [
    'own-enlarging',
    `
      input 3 x 16 x 16
      mirror-pad 1
      conv first
      group-norm first_norm groups 2
      prelu slopes as wide
      maxpool 2
      conv down.0 pad 1
      instance-norm leaky-relu slope 0.2
      lrn 3 alpha 0.3 beta 0.75 k 2
      deconv up stride 2 pad 1 more 1 bn up_norm relu
      concat wide
      conv blend pad 1
      upsample 2 bilinear align-corners
      upsample 2 bilinear
      upsample 2
      avgpool 8
      conv shuffled
      pixelshuffle 2
      conv last sigmoid
    `,
  ],
  [
    'own-generator',
    `
      input 6 x 1 x 1
      flatten
      dense fc
      reshape 8 x 3 x 3
      bn net.0 relu
      deconv net.2 stride 2 pad 1 bn net.3 relu
      deconv net.5 stride 2 pad 1 tanh
    `,
  ],
  [
    'own-vit',
    `
      input 3 x 16 x 16
      conv patch stride 4
      tokens
      class-token cls
      positions pos as x
      layer-norm n1
      attention attn.in_proj attn.out_proj heads 3
      scale ls
      add x as y
      layer-norm n2
      dense mlp.0 gelu
      dense mlp.2
      add y
      layer-norm n3
      token
      dense head
    `,
  ],
];

describe('nets of one’s own', () => {
  it('are described in lines of text', async () => {
    const folder = caseNamed('own-lines');
    const { files } = openDialect(folder);
    const { bytes, result } = await convertInMemory(files, { described: { name: 'own.net', text: FIVE_LINES } });
    expect(result.map!.inputs[0]!.shape).toEqual(['N', 1, 16, 16]);
    expect(await distance(folder, bytes)).toBeLessThan(1e-5);
  });

  it('have words that the documentation tells', () => {
    const told = rootFile('docs/architectures.md');
    expect(WORDS_OF_TEXT.filter((word) => !told.includes(word))).toEqual([]);
  });

  it.each(WORDY)('are described in lines, however they are made: %s', async (name, text) => {
    const folder = caseNamed(name);
    const { bytes } = await convertInMemory(openDialect(folder).files, { described: { name: 'own.net', text } });
    expect(await distance(folder, bytes)).toBeLessThan(1e-5);
  });

  it('branch, join and go around', async () => {
    const folder = caseNamed('own-branches');
    const { files } = openDialect(folder);
    const text = BRANCHES.replace(
      'add trunk2',
      'conv project\nadd trunk\navgpool 3 stride 2 pad 1 count-padding\nglobalpool\ndense head.0 tanh\ndense head.2\nsoftmax',
    );
    const { bytes } = await convertInMemory(files, { described: { name: 'own.net', text } });
    expect(await distance(folder, bytes)).toBeLessThan(1e-5);
  });

  it.each([
    ['an unknown word', 'input 3 x 8 x 8\nconvolve conv1', 'line 2'],
    ['no input', 'conv conv1', 'line 1'],
    ['a name that is not there', 'input 3 x 16 x 16\nconv stem\nadd nothing', 'line 3'],
    ['a module that is not there', 'input 3 x 16 x 16\nconv nowhere', 'nowhere'],
    ['attention without its heads', 'input 3 x 16 x 16\nconv stem stride 2 pad 1\ntokens\nattention a b', 'line 4'],
    ['a parameter that is not there', 'input 3 x 16 x 16\nconv stem stride 2 pad 1\ntokens\npositions nowhere', 'nowhere'],
    ['a place that is none', 'input 3 x 16 x 16\nslice first 3', 'line 2'],
    ['weights that are left over', 'input 3 x 16 x 16\nconv stem stride 2 pad 1', 'none of its own'],
    ['a word that is misspelt', 'input 3 x 16 x 16\nconv stem stride 2 pad 1 reul', 'line 2: "reul" is not understood'],
    ['a word of another line', 'input 3 x 16 x 16\nconv stem stride 2 pad 1\nglobalpool stride 2', 'line 3: "stride" is not understood'],
    ['two activations', 'input 3 x 16 x 16\nconv stem relu tanh', 'line 2: "relu tanh"'],
    ['a slope of nothing', 'input 3 x 16 x 16\nconv stem relu slope 0.1', 'line 2: "slope" says nothing without "leaky-relu"'],
    ['an epsilon of nothing', 'input 3 x 16 x 16\nconv stem epsilon 0.1', 'line 2: "epsilon" says nothing without "bn"'],
    ['padding said in two ways', 'input 3 x 16 x 16\nconv stem same pad 1', 'line 2: "same" and "pad"'],
    ['a stride of nothing', 'input 3 x 16 x 16\nconv stem stride 0', 'line 2: stride 0'],
    ['a name that no line takes', 'input 3 x 16 x 16\nconv stem as trunk\nrelu', 'line 2: no line takes "trunk"'],
    ['a name on a line of its own', 'input 3 x 16 x 16\nconv stem\nas trunk', 'line 3: "as" stands at the end of a line'],
    ['shapes that do not fit', 'input 3 x 16 x 16\nconv stem as trunk\nmaxpool 2\nadd trunk', 'line 4: the shapes'],
    ['channels that do not fit', 'input 1 x 16 x 16\nconv stem', '1 channels flow in (line 2)'],
    ['more beside the input', 'input 3 x 16 x 16 relu', 'line 1: "input" takes no "relu"'],
  ])('are refused by line for %s', async (_, text, told) => {
    const { files } = openDialect(caseNamed('own-branches'));
    await expect(convertInMemory(files, { described: { name: 'own.net', text } })).rejects.toThrow(told);
  });

  it.each([
    'resnet-basic',
    'vit',
    'shufflenet_v2',
    // Means over windows of several sizes, positions and shifts that are no weights.
    'vgg-small-picture',
    'dinov3-timm',
    'cyclegan',
    // Several outputs.
    'ssd_vgg',
    'resnet-several-heads',
    // Names behind what stands before all of them.
    'resnet-data-parallel',
    'pix2pix',
    // Convolutions of one pixel that are used as matrices, a square one among them.
    'convnext-timm-hidden',
    // Two convolutions in a layer.
    'nasnet-keras',
    'xception-keras',
  ])('are described by the document of %s, which gives the same net', async (name) => {
    const folder = caseNamed(name);
    const { files, options } = openDialect(folder);
    const { result } = await convertInMemory(files, options);
    const { inputs, outputs } = result.map!;
    const document = { schema: 'weighbridge/architecture@1', inputs, outputs, layers: architectureLayers(result.map!) };
    const again = await convertInMemory(files, { described: { name: 'own.json', text: JSON.stringify(document) } });
    expect(await distance(folder, again.bytes)).toBeLessThan(5e-5);
    expect(again.result.map!.outputs.map(({ name, shape }) => [name, shape])).toEqual(
      outputs.map(({ name, shape }) => [outputs.length > 1 ? name : 'output', shape]),
    );
  });

  it.each([
    ['{}', '"inputs"'],
    [
      '{"inputs":[{"value":"x","shape":["N",3,8,8],"layout":"nchw"}],"outputs":[{"value":"y","shape":["N",1]}],"layers":[{"name":"l","op":"Frob","inputs":["x"],"outputs":["y"]}]}',
      'Frob',
    ],
    [
      '{"inputs":[{"value":"x","shape":["N",3,8,8],"layout":"nchw"}],"outputs":[{"value":"y","shape":["N",1]}],"layers":[{"name":"l","op":"Relu","inputs":["z"],"outputs":["y"]}]}',
      '"z"',
    ],
    ['[1', 'no JSON'],
  ])('are refused as documents that are none: %s', async (text, told) => {
    const { files } = openDialect(caseNamed('own-branches'));
    await expect(convertInMemory(files, { described: { name: 'own.json', text } })).rejects.toMatchObject({ message: expect.stringContaining(told) });
  });

  it('name themselves where a constant in them cannot be', async () => {
    const { files } = openDialect(caseNamed('resnet-basic'));
    const port = (value: string) => ({ name: value, value, dtype: 'float32', shape: ['N', 3, 32, 32], layout: 'nchw' });
    const weights = { b: { name: 'x', shape: new Array(100).fill(1), values: [1] } };
    const layers = [{ name: 'c', op: 'Add', inputs: ['x'], outputs: ['y'], attributes: {}, weights }];
    const text = JSON.stringify({ schema: 'weighbridge/architecture@1', inputs: [port('x')], outputs: [port('y')], layers });
    await expect(convertInMemory(files, { described: { name: 'own.json', text } })).rejects.toThrow(/^own\.json, weight "x": a shape of 100 axes/);
  });

  it.each(['vgg16', 'resnet50', 'swin_v2_t', 'inception_v3', 'ssd300_vgg16', 'fasterrcnn_resnet50_fpn'])('%s prints as a document of the schema', (name) => {
    expect(validate(JSON.parse(JSON.stringify(describeArchitecture(name)))), JSON.stringify(validate.errors)).toBe(true);
  });
});

describe('nets that nobody knows', () => {
  it('are said to be most like a known one, and where they first depart', async () => {
    const { files, options } = openDialect(caseNamed('resnet-basic'));
    await expect(convertInMemory(files, { ...options, arch: 'mobilenet_v2' })).rejects.toThrow('not those of a MobileNet v2, which --arch mobilenet_v2 names');
    const { files: own } = openDialect(caseNamed('own-resnet-changed'));
    await expect(convertInMemory(own)).rejects.toThrow(
      /most like those of a ResNet \(resnet\), but one tensor is none of its own: "layer1.0.gate" \[3\]\. Modules: /,
    );
  });

  it('are refused for an architecture that is not known, and assumptions that nothing asks for', async () => {
    const { files, options } = openDialect(caseNamed('resnet-basic'));
    await expect(convertInMemory(files, { ...options, arch: 'nonesuch' })).rejects.toMatchObject({ kind: 'usage' });
    await expect(convertInMemory(files, { ...options, arch: 'resnet51' })).rejects.toThrow('Did you mean "resnet50"');
    expect(() => describeArchitecture('resnet51')).toThrow('Did you mean "resnet50"');
    await expect(convertInMemory(files, { ...options, assume: { heads: '3' } })).rejects.toMatchObject({ kind: 'usage' });
  });
});
