/** Folders of pictures as inputs, with their classes where they have any. */
import { decodePicture } from '../../containers/pictures.js';
import type { LayerMap } from '../../model/layer-map.js';
import type { GivenPreparation } from '../../model/preparation.js';
import { constantTensor, elementCount, float32Tensor, type Tensor } from '../../model/tensor.js';
import { counted } from '../../words.js';
import { LABELS } from '../feeds.js';
import { labelsFor } from './labels.js';
import { describePlan, planPictures, preparePicture } from './prepare.js';

export interface PictureFolder {
  /** For messages. */
  readonly label: string;
  /** Relative to the folder, '/' between parts, sorted. */
  readonly names: readonly string[];
  /** What of it is left out and why, in sentences. */
  readonly leftOut?: readonly string[];
  /** The class of each, where whoever names them says it, or the text of labels.csv; null where there is neither. */
  readonly labels: string | readonly string[] | null;
  /** Where that text stands, for messages; labels.csv where left out. */
  readonly labelsFile?: string;
  bytes(name: string): Promise<Uint8Array>;
}

export interface PictureInputs {
  /** By port, and the labels. */
  readonly arrays: ReadonlyMap<string, Tensor>;
  /** What was done to them, and what was left out. */
  readonly notes: readonly string[];
}

/** Prepared pictures are held in memory while both sides run on them. */
const MAX_BYTES = 2 ** 28;

/**
 * Decodes and prepares pictures for a net; of more than fit, as many as do, spread evenly over the folder.
 *
 * @param most how many at most
 * @throws ModelError naming the picture
 */
export async function pictureInputs(
  folder: PictureFolder,
  map: LayerMap,
  given: GivenPreparation | undefined,
  most = Number.POSITIVE_INFINITY,
  onProgress?: (done: number, total: number) => void,
): Promise<PictureInputs> {
  const plan = planPictures(map, given);
  const size = plan.width * plan.height * plan.channels;
  const count = Math.min(folder.names.length, most, Math.max(1, Math.floor(MAX_BYTES / (size * 4))));
  const spread = (from: readonly string[]) => Array.from({ length: count }, (_, i) => from[Math.floor((i * from.length) / count)]!);
  const names = spread(folder.names);
  const table = typeof folder.labels === 'object' && folder.labels !== null ? spread(folder.labels) : folder.labels;
  const { labels, note } = labelsFor(names, table, { classes: classesOf(map), own: map.classes ?? null, among: folder.names });
  const values = new Float32Array(count * size);
  let turned = 0;
  for (const [i, name] of names.entries()) {
    const file = `${folder.label}/${name}`;
    const picture = await decodePicture(await folder.bytes(name), file);
    if (picture.isTurned) turned++;
    preparePicture(picture, plan, file, values.subarray(i * size, (i + 1) * size));
    onProgress?.(i + 1, count);
  }
  const { port } = plan;
  const shape = port.layout === 'nhwc' ? [count, plan.height, plan.width, plan.channels] : [count, plan.channels, plan.height, plan.width];
  const origin = { file: folder.label };
  const arrays = new Map([[port.name, constantTensor(port.name, 'float32', shape, new Uint8Array(values.buffer), origin)]]);
  if (labels) arrays.set(LABELS, float32Tensor(LABELS, [count], labels, origin));
  const which = count === folder.names.length ? counted(count, 'picture') : `${count} of ${folder.names.length} pictures, spread evenly`;
  const more = [...(turned > 0 ? [asTheyLie(turned)] : []), ...(folder.leftOut ?? [])].map((sentence) => `inputs: ${sentence}`);
  return { arrays, notes: [`inputs: ${which}; ${describePlan(plan)}`, ...more, ...(note === null ? [] : [note])] };
}

/** What is said of pictures that EXIF says are to be turned. */
export function asTheyLie(turned: number): string {
  return `${turned} of them are to be turned before they are looked at, as their EXIF says, and are taken as they lie, as PIL opens them`;
}

/** How many classes the first output tells apart; null where its shape does not say. */
function classesOf({ outputs }: LayerMap): number | null {
  const shape = outputs[0]?.shape.slice(1) ?? [];
  const sizes = shape.filter((size) => typeof size === 'number');
  return sizes.length === shape.length && shape.length > 0 ? elementCount(sizes) : null;
}
