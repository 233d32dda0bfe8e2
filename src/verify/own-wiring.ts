/** Nets that do not say the shape of what flows in, as programs of TorchScript do not: that of the file they are compared with stands for it. */
import type { FileSet } from '../bytes/file-set.js';
import { isModelError } from '../errors.js';
import type { LayerMap, ModelFile, Port } from '../model/layer-map.js';
import { portValueShape, toChannelsFirst, toChannelsLast } from '../model/ports.js';
import { type OpenOptions, openModel } from '../readers/open.js';

/** Null where the net is not understood. */
export async function mapOrNull(model: ModelFile): Promise<LayerMap | null> {
  try {
    return await model.map();
  } catch (error) {
    if (isModelError(error) && error.kind === 'unsupported') return null;
    throw error;
  }
}

/** The model and its net, with the shapes of another net's inputs; null where they cannot be that. */
export async function openShapedAs(files: FileSet, options: OpenOptions, other: Pick<LayerMap, 'inputs'>): Promise<{ model: ModelFile; map: LayerMap } | null> {
  const [port] = other.inputs;
  if (!port) return null;
  const plain = await openModel(files, options);
  const candidates =
    other.inputs.length > 1
      ? [{ recordedInputs: other.inputs.map((one) => ({ name: one.name, dtype: one.dtype, shape: portValueShape(one) })) }]
      : shapesOf(port, plain.format).map((recordedShape) => ({ recordedShape }));
  for (const candidate of candidates) {
    const again = await openModel(files, { ...options, ...candidate });
    const map = await mapOrNull(again).catch(() => null);
    if (!map) continue;
    const shapes = map.inputs.map(({ shape }) => `[${shape.join(', ')}]`).join(', ');
    const message = `${files.label} does not say the shape of what flows in: it is taken to be ${shapes}, as in the file that it is compared with`;
    return { map, model: { ...again, warnings: [...again.warnings, { code: 'assumed', message }], map: async () => map } };
  }
  return null;
}

/** Shapes that may be meant, likely ones first: PyTorch has channels first whatever the other file has, which does not always say which axis that is. */
function shapesOf(port: Port, format: string) {
  const inner = portValueShape(port);
  const turned = (order: (rank: number) => number[]) => (inner.length < 3 ? inner : order(inner.length).map((axis) => inner[axis]!));
  return format === 'pytorch' ? [inner, turned(toChannelsFirst)] : [port.shape, inner, turned(toChannelsLast)];
}

/**
 * What a file says itself of its wiring (TorchScript, exported programs); null where there is nothing, or only a likeness to a net that is known.
 *
 * @param other gives the shape of what flows in, where the file does not say it
 */
export async function ownWiring(files: FileSet, other?: Pick<LayerMap, 'inputs'>): Promise<LayerMap | null> {
  const map = (await mapOrNull(await openModel(files))) ?? (other ? ((await openShapedAs(files, {}, other))?.map ?? null) : null);
  return map?.architecture ? null : map;
}
