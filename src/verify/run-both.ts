/** Runs witness and written file on the same inputs, compares their outputs, and tries what single inputs do not show. */
import { isModelError } from '../errors.js';
import { drawingLayers } from '../model/drawing.js';
import type { LayerMap } from '../model/layer-map.js';
import { collectAgreement, labelsOf } from './agreement.js';
import { MOST_AHEAD, runAhead } from './ahead.js';
import { arithmeticOf } from './arithmetic.js';
import { blame } from './as-written.js';
import { assignPorts } from './assign.js';
import { TOO_SENSITIVE } from './band.js';
import { explainRecording } from './causes/recording.js';
import { codingLayers, MOST_OF_CODES, rtolsOfCodes } from './code-band.js';
import { isApart, isHeavy } from './effort.js';
import { selectEngine } from './engines/index.js';
import { asWhole, type GivenInputs, givenInputs, isCut, recordedInputs, someInputs } from './feeds.js';
import { tryHalf, tryHalfInside } from './half-trial.js';
import type { HeldLayers } from './held-layers.js';
import { withInner } from './inner.js';
import { freeSizeFor, generateSample, PLAIN, RANGES, type Range, rangesFor } from './inputs.js';
import { compareInterface, compareRanks } from './interface.js';
import { findNarrowing, type Narrowing } from './narrowing.js';
import type { VerifyOptions } from './options.js';
import { feedsBefore } from './original.js';
import { compareOutputs, type OutputsComparison } from './outputs.js';
import type { AgreementReport, CauseReport, CoverageReport, InterfaceDifference, TrialReport } from './report.js';
import { type AllowedFor, type RunSample, runSamples } from './samples.js';
import { type Found, searchInputs } from './search.js';
import { type Actual, type Arrays, type Feeds, openActual, type Side } from './side.js';
import type { Subject } from './subject.js';
import { measuredTolerances, rtolsOf, type Tolerances, tolerances } from './tolerance.js';
import { type BatchSample, hasBatch, isBatchFree, type Sides, tryBatch, trySizes, withOneOfEach } from './trials.js';
import { checkRecordedShapes, type Expected, recordedOutputs, recordedWitness } from './witness.js';
import { isWrittenFrom } from './written/written.js';

const DEFAULT_SEED = 0;
/** As many as show an overflow; each is evaluated twice. */
const HALF_SAMPLES = 4;
const LARGE_HALF_SAMPLES = 2;

/** Rows of the batch that is tried: two would not show rows in another order than reversed. */
const BATCH_ROWS = { small: 3, large: 2 } as const;

/** Where deep nets do not make much of a rounding that do so on plain numbers: first of all what is small or smooth. */
const CALM_RANGES: readonly Range[] = [...new Set([RANGES.unit, RANGES.small, RANGES.impulses, RANGES.colour, ...Object.values(RANGES)])];
/** Ranges in which a net is as steady as with plain numbers, so that layers and rows can be held to the plain tolerance. */
const MILD: ReadonlySet<Range> = new Set([RANGES.plain, RANGES.small, RANGES.colour, RANGES.unit]);

export interface Ran {
  /** As it was given, or with its layers paired by what its ports were found to be. */
  readonly subject: Subject;
  readonly comparison: OutputsComparison;
  readonly expected: Pick<Expected, 'name' | 'engine' | 'witness'>;
  readonly actual: Pick<Actual, 'name' | 'engine' | 'device'>;
  readonly given: GivenInputs | null;
  readonly samples: number;
  readonly seed: number | null;
  /** Of the samples that were compared. */
  readonly ranges: readonly string[];
  readonly interface: readonly InterfaceDifference[];
  readonly trials: readonly TrialReport[];
  readonly coverage: CoverageReport | null;
  readonly narrowing: Narrowing | null;
  /** What the witness has shown of its layers for the first of `kept`, where it was run ahead. */
  readonly held: HeldLayers | null;
  readonly tolerances: Tolerances;
  /** How often both sides put the same class first, on given inputs. */
  readonly agreement: AgreementReport | null;
  /** What rounding allows where both sides compute with the map's weights, such as a narrower file's own. */
  readonly ownAllowedFor: (map: LayerMap) => (side: Pick<Side, 'run'>) => AllowedFor;
  /** Whether outputs are those of all rows at once, and not of single ones. */
  readonly isWhole: boolean;
  /** The first sample that is out of tolerance. */
  readonly differing: RunSample | null;
  /** What was done otherwise when it was recorded, where that explains what differs. */
  readonly ofRecording: CauseReport | null;
  /** Batches and sizes on which the two differ. */
  readonly shown: readonly RunSample[];
  /** A few samples of mild numbers, for what is looked at more closely. */
  readonly kept: readonly RunSample[];
  /** All samples that were compared, where the net is small. */
  readonly compared: readonly RunSample[];
  /** Samples for a narrower file beside its own weights: also such whose numbers are out of the ordinary. */
  readonly further: readonly RunSample[];
}

/**
 * Runs both sides; once more on calm inputs alone, where rounding decides what plain numbers give, and on a whole recording, where a net reads its
 * rows as steps or frames, so that it runs on no row alone.
 */
export async function runBoth(subject: Subject, options: VerifyOptions, notes: string[]): Promise<Ran> {
  const before = notes.length;
  const ran = await runOnce(subject, options, notes).catch(async (error: unknown) => {
    if (!options.golden || !isBatchFree(subject.map) || !isModelError(error, 'engine')) throw error;
    notes.length = before;
    notes.push('the net does not run on each row of the recording alone: all of them were fed at once');
    return runOnce(subject, options, notes, { isWhole: true }).catch(() => Promise.reject(error));
  });
  if (ran !== null) return ran;
  notes.length = before;
  notes.push('on plain numbers rounding decides what this net gives, so that they prove nothing: calmer inputs were taken');
  return (await runOnce(subject, options, notes, { calm: CALM_RANGES }))!;
}

interface Once {
  /** Ranges to take instead of the usual. */
  readonly calm?: readonly Range[];
  /** All rows of a recording are one run. */
  readonly isWhole?: boolean;
}

/**
 * @returns null where plain numbers were left out, because rounding decides there
 */
async function runOnce(asOpened: Subject, options: VerifyOptions, notes: string[], { calm, isWhole = false }: Once = {}): Promise<Ran | null> {
  let subject = asOpened;
  const { map, target, written, layoutOf, isRead, effort } = subject;
  notes.push(...(options.inputNotes ?? []));
  if (options.golden && subject.edited?.prelude) notes.push('recorded inputs, which are prepared, were turned back into pictures for the written file');
  const recording = options.golden ? await recordedOutputs(options.golden, map, subject.edited) : null;
  const all = await givenRows(subject, options, recording, isWhole);
  if (recording && all) checkRecordedShapes(recording, map, all.rows);
  const seed = options.seed ?? DEFAULT_SEED;
  const freeSize = freeSizeFor(map);
  const generate = (sample: number, range: Range) => generateSample(map.inputs, sample, seed, { range, layers: map.layers, freeSize: () => freeSize });
  const first = all ? all.sample(0) : generate(0, calm?.[0] ?? PLAIN);
  // What cannot be run at all is told before the witness takes its time.
  await selectEngine(target.format, options);
  const witness = recording ? recordedWitness(recording, all!) : await subject.openExpected(first, notes);
  let held: HeldLayers | null = null;
  try {
    const given = all && someInputs(all, Math.max(witness.maxRows ?? all.rows, options.samples ?? 0));
    if (given && given.rows < all.rows) notes.push(tellSome(given.rows, all.rows));
    const narrowing = written && findNarrowing(map, written, isRead && witness.witness.kind !== 'reference');
    const computeDType = written?.computeDType;
    const samples = given ? given.runs : Math.min(options.samples ?? effort.samples, witness.maxSamples);
    const order = given || narrowing ? [] : (calm ?? (computeDType === 'float16' ? HALF_RANGES : rangesFor(map)));
    const sampleOf = (sample: number) => {
      const range = order[sample] ?? order[0] ?? PLAIN;
      return { range, feeds: sample === 0 ? first : (given?.sample(sample) ?? generate(sample, range)) };
    };
    const lookedAt = (planned: readonly { readonly range: Range; readonly feeds: Feeds }[]) =>
      planned
        .filter(({ range }) => MILD.has(range))
        .slice(0, effort.few)
        .map(({ feeds }) => feeds);
    // Of a net whose weights take much memory only one side is held at a time.
    const ahead = isRead && !recording && samples <= MOST_AHEAD && isHeavy(map) ? await runAhead(witness, samples, sampleOf, options, lookedAt) : null;
    held = ahead?.held ?? null;
    const expected = ahead ?? witness;
    const isOurs = written !== null && isWrittenFrom(map, written);
    // Beside our own evaluator a second process would be held as well: 160 MB more of VGG16. What only a runtime knows the evaluator does not run.
    const runsApart = isApart(map) && witness.witness.kind !== 'reference';
    const actual = await openActual(target, map, layoutOf, options, notes, { keepsOrder: isOurs, isApart: runsApart });
    try {
      subject.checkInputs?.(actual);
      const { atol, rtol } = options;
      const recordedIn = recording && isRead ? arithmeticOf(map) : undefined;
      const asked = { atol, rtol, expected: expected.name, actual: actual.name, narrowest: narrowing?.narrowest, computeDType, recordedIn };
      if (actual.isAmbiguous && !isOurs) {
        const feedsOf = (sample: number) => (ahead?.sampleOf ?? sampleOf)(sample).feeds;
        const evidence = { map, tolerance: tolerances(asked).outputs, samples, feedsOf, expected: expected.run, isAsked: recording === null };
        const given = JSON.stringify(actual.aligned);
        notes.push(...(await assignPorts(actual, evidence)));
        const names = (what: 'inputs' | 'outputs') => actual.aligned[what].places.map((place) => actual[what][place ?? -1]?.name ?? '');
        if (subject.withPorts && JSON.stringify(actual.aligned) !== given)
          subject = await subject.withPorts({ inputs: names('inputs'), outputs: names('outputs') });
      }
      const net = { map, isRead, layers: options.layers === true, side: actual, isDrawn: isDrawn(subject) };
      const allowed = await measuredTolerances(asked, net, first);
      const mayCalm = calm === undefined && order.length > 0 && options.samples === undefined;
      if (mayCalm && rtolsOf(allowed.outputs, map.outputs.length).every((rtol) => rtol > TOO_SENSITIVE)) {
        held?.close();
        return null;
      }
      const steady = recording ? actual : expected;
      const isRecordedInCodes = recording !== null && isRead && codingLayers(map).size > 0;
      let comparison = compareOutputs(map, allowed.outputs);
      // What narrower weights lose is told apart from what rounding does.
      const isBounded = atol !== undefined || rtol !== undefined;
      const explainedBy: AllowedFor = async (feeds) => {
        const measured = await measuredTolerances(
          { ...asked, atol: undefined, rtol: undefined },
          { ...net, layers: false, side: steady, isDoubted: true },
          feeds,
        );
        const rtols = rtolsOf(measured.outputs, map.outputs.length);
        const ofCodes = isRecordedInCodes ? await rtolsOfCodes(map, feeds) : null;
        if (ofCodes) notes.push(tellCodes(ofCodes, isBounded));
        return ofCodes ? rtols.map((limit, i) => Math.max(limit, ofCodes[i]!)) : rtols;
      };
      // What the user bounds is held to that, whatever would explain more.
      const allowedFor = limited(
        async (feeds) => (narrowing || isBounded ? null : explainedBy(feeds)),
        () => hasFailed(comparison),
      );
      const kept: RunSample[] = [];
      const compared: RunSample[] = [];
      const dear: RunSample[] = [];
      const ranges = new Set<string>();
      let differing: RunSample | null = null;
      const rows = effort.few > 1 ? BATCH_ROWS.small : BATCH_ROWS.large;
      const labels = given && (await labelsOf(options.golden ?? options.inputs));
      const agreement = given ? collectAgreement(map, given.rows, labels && given.places.flatMap((row) => labels[row] ?? [])) : null;
      const leftOut = await runSamples(
        {
          map,
          expected,
          actual,
          samples,
          sampleOf: ahead?.sampleOf ?? sampleOf,
          comparison,
          measuredOn: first,
          allowedFor,
          ...(isRecordedInCodes ? { most: MOST_OF_CODES } : {}),
          isWide: expected.witness.kind === 'reference',
        },
        options,
        (run) => {
          ranges.add(run.range.name);
          agreement?.add(run.wanted, run.found);
          if (effort.few > 1) compared.push(run);
          else if (dear.length < rows) dear.push(run);
          if (!differing && hasFailed(comparison)) differing = run;
          if (MILD.has(run.range) && kept.length < rows) kept.push(run);
        },
      );
      if (mayCalm && leftOut.some(({ range, isSensitive }) => isSensitive && range === PLAIN)) return null;
      for (const { range, why } of leftOut) notes.push(`inputs of ${range.name} were left out: ${why}`);
      const mayLook = written && isRead && !given && !narrowing && effort.few > 1 && options.samples === undefined && computeDType !== 'float16';
      const found = mayLook ? await lookInside(subject, compared, seed, options, notes) : null;
      if (found) {
        const { added } = found;
        const run = {
          map,
          expected,
          actual,
          comparison,
          allowedFor,
          isWide: expected.witness.kind === 'reference',
          samples: added.length,
          sampleOf: (i: number) => added[i]!,
        };
        await runSamples(run, { ...options, onSample: undefined }, (sample) => {
          compared.push(sample);
          if (!differing && hasFailed(comparison)) differing = sample;
        });
      }
      const whole = given && recording && isMixed(comparison, given) ? await runWhole(subject, actual, given, recording, allowed) : null;
      if (whole) {
        comparison = whole;
        notes.push('the net mixes the rows of a batch: fed one by one they give something else than the recording, and fed at once they give the recording');
      }
      if (differing && isBounded && !narrowing && effort.few > 1) {
        const most = await explainedBy((differing as RunSample).feeds);
        if (most && comparison.report().outputs.every(({ relativeToScale }, i) => relativeToScale <= most[i]!)) notes.push(tellBound(most));
      }
      if (differing && !whole && !actual.isAmbiguous) {
        const found = await blame(target, map, layoutOf, differing, comparison, options);
        // Narrower weights differ anyway.
        if (found && (found.isRuntimes || !narrowing)) notes.push(found.sentence);
        const recorded = recording && !narrowing && !found?.isRuntimes && effort.few > 1 ? await subject.blameRecording?.(differing) : null;
        if (recorded) notes.push(recorded);
      }
      const told = compared.length > 0 ? compared : differing ? [differing] : [];
      const ofRecording = recording && differing && !whole ? await explainRecording({ map, isRead, actual, samples: told, rtol: allowed.outputs.rtol }) : null;
      for (const name of comparison.constantOutputs()) notes.push(`output "${name}" is the same for all ${samples} inputs, so comparing it proves little`);
      // What is expected of a row alone is asked for only where the file's rows differ in a batch: it may take seconds.
      const own: BatchSample[] = whole || (given?.batch ?? 1) !== 1 ? [] : kept.filter(({ found }) => areFinite(found));
      const usual = calm?.[0] ?? PLAIN;
      const shown: RunSample[] = [];
      const sides = {
        map,
        expected: recording ? null : expected,
        actual,
        tolerance: allowed.outputs,
        own: allowed.correctness(actual.name),
        isNarrow: narrowing !== null,
        shown,
      };
      // A run of a large net is dear: samples that were run will do, unless their numbers are such that rounding sets rows apart.
      const mayReuse = !given && own.length < rows && dear.length === rows && isBatchFree(map) && dear.every(({ found }) => areFinite(found));
      const reused = mayReuse ? await tryBatch({ ...sides, expected: null }, dear) : null;
      const batch = reused?.passed ? reused : null;
      for (let i = own.length; i < rows && !given && !batch && hasBatch(map); i++) {
        const feeds = generate(i, usual);
        const sample = { feeds, found: await actual.run(feeds), range: usual };
        // What the net itself cannot compute says nothing of its rows.
        if (kept.length > 0 && !areFinite(sample.found)) continue;
        own.push(sample);
        if (kept.length === 0) kept.push({ ...sample, wanted: await expected.run(feeds) });
      }
      const alone = await withOneOfEach(map, actual, own);
      // Those of a large net the runtime brings out in slices: plain numbers and pixels.
      const inHalf = effort.few > 1 ? compared.slice(0, HALF_SAMPLES) : Array.from({ length: Math.min(samples, LARGE_HALF_SAMPLES) }, (_, i) => sampleOf(i));
      const trials = await tryBeside(subject, { sides, rows: alone, batch, inHalf, seed: given ? null : seed }, options, notes);
      const further: RunSample[] = [];
      for (const range of narrowing && !given && effort.few > 1 ? NARROW_RANGES : []) {
        const feeds = generate(1, range);
        const found = await actual.run(feeds);
        if (computeDType === 'float16' && found.some((array) => array?.data.some((value) => !Number.isFinite(Number(value)))))
          notes.push(`on inputs of ${range.name} the file gives values that are infinite or no numbers, as float16 does beyond 65504`);
        else further.push({ feeds, wanted: [], found, range });
      }
      const differences = interfaceOf(subject, actual, kept[0], isOurs);
      return {
        subject,
        comparison,
        expected,
        actual,
        given,
        samples: samples + (found?.added.length ?? 0),
        seed: given ? null : seed,
        ranges: given ? [] : [...ranges],
        interface: differences,
        trials,
        coverage: found?.coverage ?? null,
        narrowing,
        tolerances: allowed,
        ownAllowedFor: (widened) => (side) =>
          limited(
            async (feeds) => {
              const own = await measuredTolerances(
                { ...asked, narrowest: undefined, atol: undefined, rtol: undefined },
                { map: widened, isRead: true, layers: false, side, isDoubted: true },
                feeds,
              );
              return rtolsOf(own.correctness('reference'), map.outputs.length);
            },
            () => true,
          ),
        isWhole: whole !== null,
        differing,
        ofRecording,
        shown,
        kept,
        compared,
        further,
        held,
        agreement: agreement?.report() ?? null,
      };
    } finally {
      await actual.close();
    }
  } catch (error) {
    held?.close();
    throw error;
  } finally {
    await witness.close();
  }
}

interface ToTry {
  readonly sides: Sides;
  /** Samples that are run once more as one batch. */
  readonly rows: readonly BatchSample[];
  /** What a batch of others has shown already. */
  readonly batch: TrialReport | null;
  /** Samples whose values are to fit float16, where the file computes in it. */
  readonly inHalf: readonly Pick<RunSample, 'feeds' | 'range'>[];
  /** Null where inputs are given. */
  readonly seed: number | null;
}

/** What single inputs of the first size do not show: several at once, another size, values that do not fit float16. */
async function tryBeside(subject: Subject, { sides, rows, batch, inHalf, seed }: ToTry, options: VerifyOptions, notes: string[]): Promise<TrialReport[]> {
  const { map, isRead, written, effort } = subject;
  const trials: (TrialReport | null)[] = [];
  if (!isDrawn(subject)) {
    if (batch) trials.push(batch);
    else if (hasBatch(map) && rows.length > 1) trials.push(await tryBatch(sides, rows));
    if (seed !== null) trials.push(await trySizes(sides, seed));
  }
  if (written?.computeDType === 'float16' && isRead) {
    trials.push(await (effort.few > 1 ? tryHalf(map, inHalf, sides.tolerance, notes) : tryHalfInside(subject, map, inHalf, options, notes)));
  }
  return trials.filter((trial) => trial !== null);
}

/** What is drawn at random is drawn anew in every run that is not the same one again. */
function isDrawn({ training }: Subject): boolean {
  return drawingLayers(training).length > 0;
}

/** What the file promises to its users otherwise than the source does. */
function interfaceOf(subject: Subject, actual: Actual, sample: RunSample | undefined, isOurs: boolean): InterfaceDifference[] {
  const { map, target, written, layoutOf, isRead } = subject;
  const hasSameDTypes = target.format === 'onnx' && (isRead || map.format === 'onnx');
  const differences = compareInterface({ map, session: actual, aligned: actual.aligned, layoutOf, isOurs, hasSameDTypes });
  for (const name of written?.overridable ?? []) {
    // A weight that was narrowed has another name.
    if (subject.overridable.includes(name) || subject.overridable.includes(name.replace(/\/(float16|bfloat16|int8)$/, ''))) continue;
    const message = `the weight "${name}" is an input too, so that whoever runs the file may put another in its place`;
    differences.push({ kind: 'initialiser', port: name, message, judged: true });
  }
  const ranked = new Set(differences.filter(({ kind }) => kind === 'rank').map(({ port }) => port));
  if (sample) differences.push(...compareRanks(map, sample.wanted, sample.found).filter(({ port }) => !ranked.has(port)));
  return differences;
}

/** What the inputs reach inside the net, and inputs for what they do not; null, and a note, where the runtime does not show it. */
async function lookInside(subject: Subject, compared: readonly RunSample[], seed: number, options: VerifyOptions, notes: string[]): Promise<Found | null> {
  const { map } = subject;
  const fed = compared.map(({ feeds }) => feeds);
  try {
    return await withInner(subject, map, options, (inner) => searchInputs(map, inner, fed, seed));
  } catch (error) {
    if (!isModelError(error)) throw error;
    notes.push(`what the inputs reach inside the net was not measured: ${error.message}`);
    return null;
  }
}

/** Inputs that are measured one by one; then the largest stands for the rest, for hundreds of rows would take minutes. */
const MOST_MEASURED = 8;

function limited(measure: AllowedFor, isDecided: () => boolean): AllowedFor {
  const measured: (readonly number[])[] = [];
  return async (feeds) => {
    if (measured.length >= (isDecided() ? 1 : MOST_MEASURED)) return measured[0]!.map((_, i) => Math.max(...measured.map((rtols) => rtols[i]!)));
    const rtols = await measure(feeds);
    if (rtols) measured.push(rtols);
    return rtols;
  };
}

/** @param isBounded whether the user said how much is let pass */
function tellCodes(rtols: readonly number[], isBounded: boolean): string {
  const most = Math.max(...rtols);
  const passes = isBounded ? '' : most > MOST_OF_CODES ? `, of which ${MOST_OF_CODES} is let pass` : ', and so much is let pass';
  return `the recording was made by kernels in integers, which take either of two codes where a value lies near the middle between them: that moves outputs by up to ${most.toPrecision(2)} of their scale${passes}`;
}

function tellBound(rtols: readonly number[]): string {
  const most = Math.max(...rtols).toPrecision(2);
  return `the limit given is narrower than what two right runs of this net differ by: without it up to ${most} of an output's scale is let pass, and this is a match`;
}

/** What is computed in float16 may overflow on larger ones, as it must. */
const HALF_RANGES: readonly Range[] = [RANGES.plain, RANGES.pixels, RANGES.unit];
/** Rounded weights move outputs, and so hide a clip; beside its own weights it shows. */
const NARROW_RANGES: readonly Range[] = [RANGES.pixels, RANGES.small];

function tellSome(some: number, all: number): string {
  return `of ${all} inputs that were given, ${some} were run, spread evenly: what is expected comes from our own evaluator, which takes seconds for each. --samples ${all} runs them all`;
}

/** Inputs that were recorded or given; whole where that is asked for, or the recording cannot be cut into rows. */
async function givenRows({ map, edited }: Subject, { golden, inputs }: VerifyOptions, recording: Arrays | null, isWhole: boolean): Promise<GivenInputs | null> {
  if (!golden) return inputs ? givenInputs(inputs, map) : null;
  const given = await recordedInputs(golden, map, edited, edited?.prelude ? (feeds) => feedsBefore(edited, feeds) : undefined);
  return !isWhole && recording!.every((array) => !array || isCut(array, given.rows)) ? given : asWhole(given);
}

function isMixed(comparison: OutputsComparison, given: GivenInputs): boolean {
  return given.batch === 1 && given.rows > 1 && hasFailed(comparison);
}

function areFinite(arrays: Arrays): boolean {
  return arrays.every((array) => !array || array.data.every((value) => Number.isFinite(Number(value))));
}

function hasFailed(comparison: OutputsComparison): boolean {
  return comparison.report().outputs.some(({ passed }) => !passed);
}

/** The recording's rows fed at once; null where they do not give what was recorded either. */
async function runWhole({ map }: Subject, actual: Actual, given: GivenInputs, recording: Arrays, allowed: Tolerances): Promise<OutputsComparison | null> {
  if (!isBatchFree(map)) return null;
  const comparison = compareOutputs(map, allowed.outputs);
  comparison.add(recording, await actual.run(given.whole()));
  return comparison.report().outputs.every(({ passed }) => passed) ? comparison : null;
}
