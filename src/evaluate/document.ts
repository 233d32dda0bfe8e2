/** What an evaluation counts. Counts of parts of a data set add up exactly. `schemas/evaluation.schema.json` describes the document. */
import { checkJson, isObject, type JsonObject } from '../containers/json.js';
import { ModelError } from '../errors.js';

/** What one picture gave. */
export interface Row {
  readonly name: string;
  /** Its class; null where it is not known. */
  readonly label: number | null;
  /** The first five classes, the first first; none where a value is NaN. */
  readonly top: readonly number[];
  /** Value of the first class. */
  readonly value: number | null;
  /** The first five classes of the other model. */
  readonly other?: readonly number[];
  /** Only where its EXIF says that it is to be turned, which it was not. */
  readonly turned?: true;
}

export interface EvaluatedModel {
  readonly path: string;
  readonly format: string;
  /** Engine, version and device. */
  readonly engine: string;
  readonly sha256: Readonly<Record<string, string>>;
}

export interface Shard {
  /** From 1. */
  readonly index: number;
  readonly of: number;
}

export interface Counts {
  readonly pictures: number;
  /** Of which the class is known. */
  readonly labelled: number;
  readonly top1: number;
  readonly top5: number;
  /** Of which EXIF says that they are to be turned: they were taken as they lie. */
  readonly turned: number;
}

export interface EvaluationDocument {
  readonly schema: 'weighbridge/evaluation@1';
  readonly model: EvaluatedModel;
  readonly against: EvaluatedModel | null;
  readonly data: {
    readonly path: string;
    /** Of all of it, whichever part was looked at. */
    readonly pictures: number;
    /** Of the names and classes of all pictures, in order. */
    readonly sha256: string;
    /** What is done to pictures. */
    readonly prepared: string;
  };
  /** Parts of the data that were looked at, in order. */
  readonly shards: readonly Shard[];
  readonly counts: Counts;
  /** Null without another model. */
  readonly other: (Pick<Counts, 'top1' | 'top5'> & { readonly agree: number; readonly agreeTop5: number }) | null;
  /** How often which class was put first where another was wanted: the other model's, or else the picture's own; the most frequent first. */
  readonly confusion: readonly { readonly wanted: number; readonly found: number; readonly count: number }[];
  /** Pictures that could not be read or run, which are not counted. */
  readonly failed: readonly { readonly name: string; readonly problem: string }[];
  readonly notes: readonly string[];
  /** Of all parts, one after another. */
  readonly elapsedMs: number;
}

export type Tally = Pick<EvaluationDocument, 'counts' | 'other' | 'confusion'>;

/** Counts what rows say. */
export function tally(rows: Iterable<Row>, hasOther: boolean): Tally {
  const counts = { pictures: 0, labelled: 0, top1: 0, top5: 0, turned: 0 };
  const other = { top1: 0, top5: 0, agree: 0, agreeTop5: 0 };
  const confusion = new Map<string, { wanted: number; found: number; count: number }>();
  for (const row of rows) {
    const [first] = row.top;
    counts.pictures++;
    if (row.turned) counts.turned++;
    if (row.label !== null) {
      counts.labelled++;
      if (first === row.label) counts.top1++;
      if (row.top.includes(row.label)) counts.top5++;
      if (row.other?.[0] === row.label) other.top1++;
      if (row.other?.includes(row.label)) other.top5++;
    }
    if (row.other && first !== undefined && row.other[0] === first) other.agree++;
    if (row.other && first !== undefined && row.other.length === row.top.length && row.other.every((each) => row.top.includes(each))) other.agreeTop5++;
    const wanted = hasOther ? row.other?.[0] : row.label;
    if (first === undefined || wanted === undefined || wanted === null || wanted === first) continue;
    const key = `${wanted} ${first}`;
    const found = confusion.get(key) ?? { wanted, found: first, count: 0 };
    found.count++;
    confusion.set(key, found);
  }
  return { counts, other: hasOther ? other : null, confusion: sorted(confusion.values()) };
}

/** A part for each machine that there is. */
export const MAX_SHARDS = 100_000;

/** @throws ModelError 'usage' naming what is not as `evaluate` writes it */
export function parseEvaluation(text: string, file: string): EvaluationDocument {
  checkJson(text, file);
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch (error) {
    throw new ModelError('usage', `is no evaluation: ${(error as Error).message}`, { file }, error);
  }
  if (!isObject(document) || document.schema !== 'weighbridge/evaluation@1')
    throw new ModelError('usage', 'is no evaluation (weighbridge evaluate -o makes them)', { file });
  const wrong = Object.keys(IS_RIGHT).find((name) => !IS_RIGHT[name as keyof typeof IS_RIGHT](document[name], document));
  if (wrong !== undefined) throw new ModelError('usage', `"${wrong}" of this evaluation is not as weighbridge evaluate writes it`, { file });
  return document as unknown as EvaluationDocument;
}

const isText = (value: unknown) => typeof value === 'string';
const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
const has = (value: unknown, are: (value: unknown) => boolean, ...names: readonly string[]) => isObject(value) && names.every((name) => are(value[name]));
const isModel = (value: unknown) =>
  has(value, isText, 'path', 'format', 'engine') && has(value, (sha256) => isObject(sha256) && Object.values(sha256).every(isText), 'sha256');
/** Of so many pictures each is first, and among five, at most once. */
const isTally = (of: unknown, first: unknown, five: unknown) => isCount(first) && isCount(five) && first <= five && five <= (of as number);

const IS_RIGHT: Readonly<Record<keyof Omit<EvaluationDocument, 'schema'>, (value: unknown, document: JsonObject) => boolean>> = {
  model: isModel,
  against: (value) => value === null || isModel(value),
  data: (value) => has(value, isText, 'path', 'sha256', 'prepared') && has(value, isCount, 'pictures'),
  shards: (value) => Array.isArray(value) && value.length > 0 && value.every((shard) => isShard(shard) && shard.of === value[0].of),
  counts: (value) => has(value, isCount, 'pictures', 'labelled', 'turned') && isCounted(value as JsonObject),
  other: (value, { against, counts }) => {
    const { pictures, labelled } = counts as JsonObject;
    if (!isObject(value)) return value === null && against === null;
    return (
      against !== null &&
      isTally(labelled, value.top1, value.top5) &&
      [value.agree, value.agreeTop5].every((count) => isCount(count) && count <= (pictures as number))
    );
  },
  confusion: (value, { counts }) =>
    Array.isArray(value) &&
    value.every((each) => has(each, isCount, 'wanted', 'found', 'count')) &&
    value.reduce((sum, { count }) => sum + count, 0) <= ((counts as JsonObject).pictures as number),
  failed: (value) => Array.isArray(value) && value.every((each) => has(each, isText, 'name', 'problem')),
  notes: (value) => Array.isArray(value) && value.every(isText),
  elapsedMs: (value) => Number.isFinite(value) && (value as number) >= 0,
};

function isShard(value: unknown): value is Shard {
  const { index, of } = isObject(value) ? value : {};
  return isCount(index) && isCount(of) && index >= 1 && index <= of && of <= MAX_SHARDS;
}

function isCounted({ pictures, labelled, turned, top1, top5 }: JsonObject): boolean {
  return Math.max(labelled as number, turned as number) <= (pictures as number) && isTally(labelled, top1, top5);
}

type Confused = EvaluationDocument['confusion'][number];

function sorted(confusion: Iterable<Confused>): Confused[] {
  return [...confusion].sort((a, b) => b.count - a.count || a.wanted - b.wanted || a.found - b.found);
}

/**
 * Adds up evaluations of parts of one data set; the sums are exact, whatever the order.
 *
 * @throws ModelError 'usage' where two are of other models or data, or of the same part
 */
export function mergeEvaluations(documents: readonly EvaluationDocument[]): EvaluationDocument {
  const [first] = documents;
  if (!first) throw new ModelError('usage', 'there is nothing to merge');
  for (const document of documents) {
    const what = differs(first, document);
    if (what !== null) throw new ModelError('usage', `evaluations of different ${what} cannot be merged`, { file: document.model.path });
  }
  const shards = documents.flatMap((document) => document.shards).sort((a, b) => a.index - b.index);
  const twice = shards.find((shard, i) => shards[i + 1]?.index === shard.index);
  if (twice) throw new ModelError('usage', `part ${twice.index} of ${twice.of} is there twice`);
  const sum = (value: (document: EvaluationDocument) => number) => documents.reduce((total, document) => total + value(document), 0);
  const confusion = new Map<string, Confused>();
  for (const each of documents.flatMap((document) => document.confusion)) {
    const key = `${each.wanted} ${each.found}`;
    confusion.set(key, { ...each, count: each.count + (confusion.get(key)?.count ?? 0) });
  }
  return {
    ...first,
    shards,
    counts: {
      pictures: sum(({ counts }) => counts.pictures),
      labelled: sum(({ counts }) => counts.labelled),
      top1: sum(({ counts }) => counts.top1),
      top5: sum(({ counts }) => counts.top5),
      turned: sum(({ counts }) => counts.turned),
    },
    other: first.other && {
      top1: sum(({ other }) => other?.top1 ?? 0),
      top5: sum(({ other }) => other?.top5 ?? 0),
      agree: sum(({ other }) => other?.agree ?? 0),
      agreeTop5: sum(({ other }) => other?.agreeTop5 ?? 0),
    },
    confusion: sorted(confusion.values()),
    failed: documents.flatMap((document) => document.failed),
    notes: [...new Set([...enginesTold(documents), ...documents.flatMap((document) => document.notes)])],
    elapsedMs: sum(({ elapsedMs }) => elapsedMs),
  };
}

/** Parts are added up whatever ran them; that it was not one is told. */
function enginesTold(documents: readonly EvaluationDocument[]): string[] {
  const engines = [...new Set(documents.flatMap(({ model, against }) => [model, ...(against ? [against] : [])]).map(({ engine }) => engine))];
  const isOne = new Set(documents.map(({ model, against }) => `${model.engine} ${against?.engine ?? ''}`)).size === 1;
  return isOne ? [] : [`parts were run by different engines: ${engines.join(', ')}`];
}

function differs(a: EvaluationDocument, b: EvaluationDocument): string | null {
  const hashes = (model: EvaluatedModel | null) => JSON.stringify(Object.values(model?.sha256 ?? {}).sort());
  if (hashes(a.model) !== hashes(b.model) || hashes(a.against) !== hashes(b.against)) return 'models';
  if (a.data.sha256 !== b.data.sha256) return 'data';
  if (a.data.prepared !== b.data.prepared) return 'preparations';
  return a.shards[0]?.of === b.shards[0]?.of ? null : 'numbers of parts';
}

/** Parts that are not there. */
export function missingShards({ shards }: Pick<EvaluationDocument, 'shards'>): number[] {
  const there = new Set(shards.map(({ index }) => index));
  return Array.from({ length: shards[0]?.of ?? 0 }, (_, i) => i + 1).filter((index) => !there.has(index));
}
