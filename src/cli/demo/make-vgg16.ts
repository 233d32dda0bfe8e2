/** Makes the full-size seeded VGG16 in a folder, in all three source dialects. */
import { join } from 'node:path';
import { fileSink } from '../../node/file-sink.js';
import { type SeededLayer, seededVgg16 } from './vgg16.js';
import { writeCaffe } from './write-caffe.js';
import { writeH5 } from './write-h5.js';
import { writeLegacyPth, writePth } from './write-pth.js';

const SEED = 0;

/** Writes vgg16.pth, vgg16.caffemodel with vgg16.prototxt, and vgg16.h5: 553 MB each. */
export async function makeVgg16(folder: string, onFile: (name: string) => void = () => {}): Promise<void> {
  const layers = seededVgg16(SEED);
  await makeFile(join(folder, 'vgg16.pth'), onFile, (sink, name) => writeOne(sink, name, layers, writePth));
  await makeFile(join(folder, 'vgg16.h5'), onFile, (sink, name) => writeOne(sink, name, layers, writeH5));
  await makeFile(join(folder, 'vgg16.caffemodel'), onFile, async (sink, name) => {
    const model = await sink.create(name);
    const prototxt = await sink.create('vgg16.prototxt');
    await writeCaffe(layers, model, prototxt);
    await model.close();
    await prototxt.close();
  });
}

/** Writes vgg16.legacy.pth: the same state dict in PyTorch's older container. */
export async function makeLegacyVgg16(folder: string): Promise<void> {
  const layers = seededVgg16(SEED);
  await makeFile(
    join(folder, 'vgg16.legacy.pth'),
    () => {},
    (sink, name) => writeOne(sink, name, layers, writeLegacyPth),
  );
}

type Sink = Awaited<ReturnType<typeof fileSink>>;

async function writeOne(
  sink: Sink,
  name: string,
  layers: readonly SeededLayer[],
  write: (layers: readonly SeededLayer[], file: Awaited<ReturnType<Sink['create']>>) => Promise<void>,
): Promise<void> {
  const file = await sink.create(name);
  await write(layers, file);
  await file.close();
}

async function makeFile(path: string, onFile: (name: string) => void, write: (sink: Sink, name: string) => Promise<void>): Promise<void> {
  const name = path.slice(Math.max(path.lastIndexOf('/'), path.lastIndexOf('\\')) + 1);
  onFile(name);
  const sink = await fileSink(path, { force: true });
  try {
    await write(sink, name);
    await sink.commit();
  } catch (error) {
    await sink.abort();
    throw error;
  }
}
