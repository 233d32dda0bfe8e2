/** State dicts without values: names and shapes are all that recognition looks at. */
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { elementCount, storedTensor, type Tensor } from '../../src/model/tensor.js';

const packed = readFileSync(new URL('../fixtures/architectures/shapes.json.gz', import.meta.url));
/** Every classification and segmentation net of torchvision, in its full size. */
export const published = JSON.parse(gunzipSync(packed).toString()) as Record<string, Record<string, number[]>>;

export function shapesOf(name: string): Record<string, number[]> {
  const shapes = published[name];
  if (!shapes) throw new Error(`${name} is no net of torchvision's`);
  return shapes;
}

export function blank(shapes: Readonly<Record<string, readonly number[]>>): Map<string, Tensor> {
  const nothing = async (): Promise<never> => Promise.reject(new Error('recognition reads no weight'));
  return new Map(
    Object.entries(shapes).map(([name, shape]) => {
      const source = { name: '', byteLength: elementCount(shape) * 4, read: nothing, readInto: nothing, close: async () => {} };
      return [name, storedTensor({ name, dtype: 'float32', shape, source, origin: { file: 'model.pth' } })];
    }),
  );
}
