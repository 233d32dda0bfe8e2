/** One bit of one stored weight, in every form that weights are written in: codes and halves of bytes too. */
import { onnx as schema } from 'onnx-proto';
import { expect, it } from 'vitest';
import { isModelError } from '../../../src/errors.js';
import type { LayerMap } from '../../../src/model/layer-map.js';
import { shrinkToFour } from '../../../src/shrink/index.js';
import { mapOf, spread, tensor, verifyWrittenMap, weightsOfWritten, written } from '../small-files.js';

/** A convolution and a dense layer whose kernels are large enough to be narrowed. */
function net(): LayerMap {
  const values = (count: number) => spread(count).map((value, i) => value * (1 + Math.sin(i)) + 1e-3);
  return mapOf(
    [
      {
        name: 'conv',
        op: 'Conv',
        inputs: ['x'],
        outputs: ['h'],
        attributes: { pads: [1, 1, 1, 1] },
        weights: { kernel: tensor('k', [64, 3, 3, 3], values(1728)), bias: tensor('b', [64], values(64)) },
      },
      { name: 'relu', op: 'Relu', inputs: ['h'], outputs: ['r'] },
      {
        name: 'mid',
        op: 'Conv',
        inputs: ['r'],
        outputs: ['m'],
        weights: { kernel: tensor('v', [32, 64, 1, 1], values(2048)), bias: tensor('d', [32], values(32)) },
      },
      { name: 'pool', op: 'GlobalAveragePool', inputs: ['m'], outputs: ['p'] },
      { name: 'flat', op: 'Flatten', inputs: ['p'], outputs: ['f'], attributes: { axis: 1 } },
      { name: 'fc', op: 'Gemm', inputs: ['f'], outputs: ['y'], weights: { kernel: tensor('w', [32, 32], values(1024)), bias: tensor('c', [32], values(32)) } },
    ],
    [{ name: 'x', value: 'x', dtype: 'float32', shape: ['N', 3, 6, 6], layout: 'nchw' }],
    [{ name: 'y', value: 'y', dtype: 'float32', shape: ['N', 32], layout: 'other' }],
  );
}

type Files = Readonly<Record<string, Uint8Array>>;

/** Where bits may be turned: each stored tensor of a file. */
const PLACES = {
  onnx: (files: Files) => schema.ModelProto.decode(files['net.onnx']!).graph!.initializer!.map(({ name }) => name!),
  shards: (files: Files) => Object.keys(files).filter((name) => name.endsWith('.bin')),
};

/** A scale that is another by a little is as good a scale, as long as each value lies within half a step: of scales the exponent is turned. */
const placeIn = (bytes: Uint8Array, place: string, part: number) => {
  const at = Math.floor(part * bytes.length);
  return place.endsWith('/scale') ? at - (at % 4) + 3 : at;
};

/** @param part how far into the place, 0 to 1 */
function turned(files: Files, place: string, part: number, bit: number): Files {
  const flip = (bytes: Uint8Array) => {
    const copy = Uint8Array.from(bytes);
    copy[placeIn(copy, place, part)]! ^= 1 << bit;
    return copy;
  };
  const own = files['net.onnx'];
  if (!own) return { ...files, [place]: flip(files[place]!) };
  const model = schema.ModelProto.decode(own);
  const found = model.graph!.initializer!.find(({ name }) => name === place)!;
  found.rawData = flip(found.rawData as Uint8Array);
  return { 'net.onnx': schema.ModelProto.encode(model).finish() };
}

const FORMS: readonly [format: string, dtype: string][] = [
  ...['source', 'float16', 'bfloat16', 'int8', 'int4', 'uint4'].map((dtype): [string, string] => ['onnx', dtype]),
  ...['source', 'float16', 'uint8', 'uint16'].flatMap((dtype): [string, string][] => [
    ['tfjs', dtype],
    ['tfjs-graph', dtype],
  ]),
];

const TURNED = [0, 4, 6] as const;

it.each(FORMS)('%s with %s weights', async (format, dtype) => {
  const isFour = dtype === 'int4' || dtype === 'uint4';
  const map = isFour ? (await shrinkToFour(net(), dtype, 32)).map : net();
  const files = await written(map, format, isFour ? { opset: 21 } : { dtype });
  expect((await verifyWrittenMap(map, files, { samples: 1 }, format)).verdict).toBe('match');
  const places = format === 'onnx' ? PLACES.onnx(files) : PLACES.shards(files);
  const unseen: string[] = [];
  // Of several tensors one bit each, and three of a file that holds them all.
  const turns =
    places.length > 1
      ? places.map((place, i) => [place, (0.31 + 0.17 * i) % 1, TURNED[i % 3]!] as const)
      : TURNED.map((bit, i) => [places[0]!, 0.3 + 0.22 * i, bit] as const);
  for (const [place, part, bit] of turns) {
    const changed = turned(files, place, part, bit);
    const isSeen = await weightsOfWritten(map, changed, format).then((found) => found?.judged === true && found.mismatches.length > 0, isModelError);
    if (!isSeen) unseen.push(`${place}, bit ${bit} at ${part}`);
  }
  expect(unseen).toEqual([]);
  // What weights say is what the verdict says, which is seen once.
  const [place, part, bit] = turns[0]!;
  const verdict = await verifyWrittenMap(map, turned(files, place, part, bit), { samples: 1 }, format).then((report) => report.verdict, isModelError);
  expect(verdict).not.toBe('match');
});
