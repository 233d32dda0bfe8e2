/** A net on pictures, one part of a data set or all of it: what it puts first, batch after batch; memory holds one batch. */
import { decodePicture } from '../containers/pictures.js';
import { isModelError, ModelError } from '../errors.js';
import type { LayerMap } from '../model/layer-map.js';
import type { GivenPreparation } from '../model/preparation.js';
import { topFive } from '../verify/agreement.js';
import type { EngineChoice, NdArray } from '../verify/engine.js';
import { layoutByShape } from '../verify/layout.js';
import type { WrittenTarget } from '../verify/options.js';
import type { PictureFolder } from '../verify/pictures/index.js';
import { labelsFor, placesIn } from '../verify/pictures/labels.js';
import { describePlan, type PicturePlan, planPictures, preparePicture } from '../verify/pictures/prepare.js';
import { type Actual, openActual } from '../verify/side.js';
import { findWrittenFormat } from '../verify/written/index.js';
import type { Row } from './document.js';

/** A net that a runtime here can run. */
export interface Runnable {
  readonly map: LayerMap;
  readonly target: WrittenTarget;
}

export interface Runner {
  readonly engine: string;
  readonly classes: number;
  /** What they are called, where anything says it. */
  readonly names: readonly string[] | null;
  readonly plan: PicturePlan;
  /** Rows at a time; the net's own number where it is fixed. */
  readonly batch: number;
  /** @param pictures of a whole batch. @returns the scores of each row */
  run(pictures: Float32Array): Promise<ArrayLike<number | bigint>>;
  close(): Promise<void>;
}

/** Rows at a time where the net takes any number. */
const BATCH = 8;

/**
 * @throws ModelError 'usage' where the net takes no pictures or its first output is no list of classes, 'engine' where it cannot be run
 */
export async function openRunner({ map, target }: Runnable, given: GivenPreparation | undefined, choice: EngineChoice, notes: string[]): Promise<Runner> {
  const plan = planOf(map, given, target.files.label);
  const { port } = plan;
  if (map.inputs.length > 1) throw new ModelError('usage', `the net has ${map.inputs.length} inputs, and a picture is one`, { file: target.files.label });
  const fixed = port.shape[0];
  const batch = typeof fixed === 'number' ? fixed : BATCH;
  const written = await findWrittenFormat(target.format)?.open(target.files, map.layers);
  const actual: Actual = await openActual(target, map, written?.layoutOf ?? ((own, shown) => shown.layout ?? layoutByShape(own, shown.shape)), choice, notes);
  const shape = port.layout === 'nhwc' ? [batch, plan.height, plan.width, plan.channels] : [batch, plan.channels, plan.height, plan.width];
  const run = async (pictures: Float32Array) => {
    const feed: NdArray = { shape, data: pictures };
    const [output] = await actual.run([feed]);
    const sizes = output?.shape.slice(1).filter((size) => size !== 1) ?? [];
    if (!output || sizes.length !== 1 || output.shape[0] !== batch)
      throw new ModelError(
        'usage',
        `the first output, "${map.outputs[0]?.name}", is no list of classes: [${output?.shape ?? ''}]. --outputs of convert makes a net that ends elsewhere.`,
        {
          file: target.files.label,
        },
      );
    return output.data;
  };
  try {
    const values = await run(new Float32Array(batch * plan.width * plan.height * plan.channels));
    return { engine: actual.engine, classes: values.length / batch, names: map.classes ?? null, plan, batch, run, close: () => actual.close() };
  } catch (error) {
    await actual.close();
    throw error;
  }
}

function planOf(map: LayerMap, given: GivenPreparation | undefined, file: string): PicturePlan {
  try {
    return planPictures(map, given);
  } catch (error) {
    throw isModelError(error) ? error.at({ file }) : error;
  }
}

export interface EvaluateOptions {
  readonly runner: Runner;
  readonly against: Runner | null;
  readonly data: PictureFolder;
  /** What the classes of the other net are in this one's numbers, where they are counted otherwise. */
  readonly numbers?: readonly number[] | null;
  /** Places in the data set that are looked at, in order. */
  readonly places: readonly number[];
  /** The class of each picture of the data set, where it is known. */
  readonly labels: readonly number[] | null;
  /** Takes the rows of a batch as soon as they are there. */
  readonly onRows: (rows: readonly Row[]) => void | Promise<void>;
  readonly onFailed: (name: string, problem: string) => void;
  readonly onProgress?: (done: number, total: number) => void;
}

/** The class of each picture, and why it is not known though it looks as if it were. */
export function labelsOfData(data: PictureFolder, { classes, names }: Pick<Runner, 'classes' | 'names'>) {
  return labelsFor(data.names, data.labels, { classes, own: names }, data.labelsFile);
}

/**
 * How the classes of another net are counted: by number where nothing names them, and by name where both nets have names.
 *
 * @returns for each of the other's classes this net's number; null where both count alike. Classes that this net does not know have numbers behind its own
 * @throws ModelError 'usage' where they tell different numbers of classes apart, and names do not say which is which
 */
export function alignClasses(own: Pick<Runner, 'classes' | 'names'>, other: Pick<Runner, 'classes' | 'names'>, file: string) {
  const places = own.names && other.names ? other.names.map(placesIn(own.names)) : [];
  const known = places.filter((place) => place >= 0);
  const areNamed = places.length === other.classes && known.length === Math.min(own.classes, other.classes) && new Set(known).size === known.length;
  if (!areNamed && own.classes !== other.classes)
    throw new ModelError('usage', `tells ${other.classes} classes apart, and the other net ${own.classes}: which is which nothing says.`, { file });
  if (!areNamed) return { numbers: null, note: places.length > 0 ? 'the nets have other names for their classes: they are compared by number' : null };
  const numbers = places.map((place, i) => (place >= 0 ? place : own.classes + i));
  if (numbers.every((number, i) => number === i)) return { numbers: null, note: null };
  return { numbers, note: 'the nets count their classes in other orders: they are compared by name, in the numbers of the first' };
}

/** What must be the same where evaluations are put together. */
export function describePreparation({ plan }: Runner, against: Runner | null): string {
  const [own, other] = [plan, against?.plan ?? plan].map(describePlan);
  return own === other ? own! : `${own}; for the other net ${other}`;
}

export async function evaluate({ runner, against, numbers, data, places, labels, onRows, onFailed, onProgress }: EvaluateOptions): Promise<void> {
  const sides = against ? [runner, against] : [runner];
  const batch = Math.max(...sides.map((side) => side.batch));
  for (let start = 0; start < places.length; start += batch) {
    const names: { name: string; place: number; turned?: true }[] = [];
    const sizes = sides.map(({ plan }) => plan.width * plan.height * plan.channels);
    const pictures = sizes.map((size) => new Float32Array(size * batch));
    for (const place of places.slice(start, start + batch)) {
      const name = data.names[place]!;
      const file = `${data.label}/${name}`;
      try {
        const picture = await decodePicture(await data.bytes(name), file);
        for (const [i, { plan }] of sides.entries())
          preparePicture(picture, plan, file, pictures[i]!.subarray(names.length * sizes[i]!, (names.length + 1) * sizes[i]!));
        names.push({ name, place, ...(picture.isTurned ? { turned: true } : {}) });
      } catch (error) {
        // What is wrong with the settings is wrong with all of them.
        if (!isModelError(error) || error.kind === 'usage') throw error;
        onFailed(name, error.problem);
      }
    }
    const scores: ArrayLike<number | bigint>[] = [];
    for (const [i, side] of sides.entries()) scores.push(names.length === 0 ? [] : await runAll(side, pictures[i]!, sizes[i]!, names.length));
    const rows = names.map(({ name, place, ...seen }, row): Row => {
      const top = firstFive(scores[0]!, row, runner.classes);
      const other = against ? { other: firstFive(scores[1]!, row, against.classes).map((number) => numbers?.[number] ?? number) } : {};
      return {
        name,
        label: labels?.[place] ?? null,
        top,
        value: top.length === 0 ? null : Number(scores[0]![row * runner.classes + top[0]!]),
        ...other,
        ...seen,
      };
    });
    await onRows(rows);
    onProgress?.(Math.min(start + batch, places.length), places.length);
  }
}

/** Runs the rows that there are in batches of the size that the net takes. */
async function runAll({ batch, classes, run }: Runner, pictures: Float32Array, size: number, count: number): Promise<Float64Array> {
  const scores = new Float64Array(count * classes);
  for (let row = 0; row < count; row += batch) {
    const part = new Float32Array(batch * size);
    part.set(pictures.subarray(row * size, Math.min(row + batch, count) * size));
    const found = await run(part);
    for (let i = 0; i < Math.min(batch, count - row) * classes; i++) scores[row * classes + i] = Number(found[i]);
  }
  return scores;
}

/** The classes with the highest scores, of equal ones the first; none where a score is NaN. */
function firstFive(scores: ArrayLike<number | bigint>, row: number, classes: number): number[] {
  const start = row * classes;
  for (let i = start; i < start + classes; i++) if (Number.isNaN(Number(scores[i]))) return [];
  return topFive(scores, start, classes);
}
