/** What holds for every writer: what its check lets pass it writes, the same each time, and nothing is left of what failed. */
import { describe, expect, it } from 'vitest';
import { type ByteSink, memorySink } from '../../src/bytes/byte-sink.js';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { canonicalWeights, convert } from '../../src/convert.js';
import { isModelError, ModelError } from '../../src/errors.js';
import type { Layer, LayerMap } from '../../src/model/layer-map.js';
import { tensorBytes } from '../../src/model/tensor.js';
import { readers } from '../../src/readers/index.js';
import { openModel } from '../../src/readers/open.js';
import { writers } from '../../src/writers/index.js';
import type { WriteOptions } from '../../src/writers/writer.js';
import { emptyMap } from '../writers/onnx-cases.js';
import { outputName, PLAIN, smallNet, sourceFiles } from './samples.js';

type AnyWriter = (typeof writers)[number];

async function check(writer: AnyWriter, map: LayerMap, options: WriteOptions = PLAIN): Promise<readonly ModelError[]> {
  return writer.carries === 'model' ? writer.check(map, options) : writer.check(canonicalWeights(map), options);
}

async function write(writer: AnyWriter, map: LayerMap, sink: ByteSink, options: WriteOptions = PLAIN): Promise<void> {
  if (writer.carries === 'model') await writer.write(map, sink, outputName(writer), options);
  else await writer.write(canonicalWeights(map), sink, outputName(writer), options);
}

async function written(writer: AnyWriter, options: WriteOptions = PLAIN): Promise<Map<string, Uint8Array>> {
  const sink = memorySink();
  await write(writer, smallNet(), sink, options);
  await sink.commit();
  return new Map(sink.files);
}

/** Takes so many bytes, then has no room left; counts what was begun, and what of it was aborted. */
function fullSink(room: number) {
  const inner = memorySink();
  const seen = { files: 0, aborted: false, committed: false };
  let left = room;
  const spend = (bytes: Uint8Array) => {
    left -= bytes.byteLength;
    if (left < 0) throw new ModelError('usage', 'there is no space left', { file: 'out' });
  };
  const sink: ByteSink = {
    async create(name) {
      seen.files++;
      const file = await inner.create(name);
      return {
        name,
        get position() {
          return file.position;
        },
        async write(bytes) {
          spend(bytes);
          await file.write(bytes);
        },
        async writeAt(at, bytes) {
          spend(bytes);
          await file.writeAt!(at, bytes);
        },
        close: () => file.close(),
      };
    },
    async commit() {
      seen.committed = true;
      return inner.commit();
    },
    async abort() {
      seen.aborted = true;
      await inner.abort();
    },
  };
  return { sink, seen };
}

describe.each(writers.map((writer) => [writer.name, writer] as const))('%s', (name, writer) => {
  it('writes what its check has nothing against', async () => {
    expect(await check(writer, smallNet())).toEqual([]);
    const files = await written(writer);
    expect(files.size).toBeGreaterThan(0);
    expect([...files.keys()]).toContain(outputName(writer));
    for (const bytes of files.values()) expect(bytes.byteLength).toBeGreaterThan(0);
  });

  it('gives the same bytes for the same map', async () => {
    expect(await written(writer)).toEqual(await written(writer));
  });

  it.skipIf(!readers.some((reader) => reader.name === name))('writes files that the reader of its format reads, with every weight', async () => {
    const files = memoryFileSet(Object.fromEntries(await written(writer)), outputName(writer));
    const model = await openModel(files);
    expect(model.format).toBe(name);
    const values = async (tensors: readonly { tensor: Parameters<typeof tensorBytes>[0] }[]) => {
      const found: number[][] = [];
      for (const { tensor } of tensors) {
        const bytes = await tensorBytes(tensor);
        if (tensor.dtype === 'float32') found.push([...new Float32Array(bytes.slice().buffer)].sort((a, b) => a - b));
      }
      return found.map((one) => one.join()).sort();
    };
    expect(await values(model.tensors)).toEqual(await values(canonicalWeights(smallNet()).map((tensor) => ({ tensor }))));
  });

  it.each(writer.dtypes)('writes weights of %s, or says which it has', async (dtype) => {
    const options = { ...PLAIN, dtype };
    if ((await check(writer, smallNet(), options)).length > 0) return;
    const files = await written(writer, options);
    expect(files.size).toBeGreaterThan(0);
  });

  it.skipIf(writer.carries !== 'model')('lists obstacles instead of throwing, and names the layer', async () => {
    const types = [{ dtype: 'float32', shape: ['N', 3] }];
    const layer = { name: 'strange layer', op: 'Strange', inputs: ['x'], outputs: ['y'], attributes: {}, weights: {} };
    const own = { format: 'mine', domain: 'mine', op: 'Strange', reason: 'it is strange', attributes: [], captures: [], types };
    const foreign = { ...layer, foreign: own } as unknown as Layer;
    const map: LayerMap = {
      ...emptyMap,
      inputs: [{ name: 'x', value: 'x', dtype: 'float32', shape: ['N', 3], layout: 'other' }],
      outputs: [{ name: 'y', value: 'y', dtype: 'float32', shape: ['N', 3], layout: 'other' }],
      layers: [foreign],
    };
    const obstacles = await check(writer, map);
    for (const obstacle of obstacles) expect(isModelError(obstacle)).toBe(true);
    // ONNX alone has a place for operators of others.
    if (name !== 'onnx') expect(obstacles.map(String).join()).toContain('Strange');
  });

  it('leaves nothing where there is no room, whenever that is', async () => {
    const total = [...(await written(writer)).values()].reduce((sum, { byteLength }) => sum + byteLength, 0);
    for (const room of [0, 1, 100, Math.floor(total / 3), Math.floor(total / 2), total - 1]) {
      const { sink, seen } = fullSink(room);
      await expect(convert(await sourceFiles(), sink, outputName(writer), { to: name })).rejects.toMatchObject({ kind: 'usage', problem: /no space left/ });
      expect(seen).toMatchObject({ aborted: true, committed: false });
    }
  });

  it('closes every file that it creates', async () => {
    let open = 0;
    const inner = memorySink();
    const sink: ByteSink = {
      ...inner,
      async create(file) {
        open++;
        const made = await inner.create(file);
        const close = async () => {
          open--;
          await made.close();
        };
        return Object.create(made, { close: { value: close } });
      },
    };
    await write(writer, smallNet(), sink);
    expect(open).toBe(0);
  });
});
