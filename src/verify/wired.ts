/**
 * Recorded outputs beside a file that holds weights without wiring: its weights are run in the wiring of what they were made from, by our own
 * evaluator. What was recorded is never left aside: where nothing says what the weights make, that is an error.
 */
import { isModelError, ModelError } from '../errors.js';
import type { LayerMap } from '../model/layer-map.js';
import { effortFor, isHuge, isLarge } from './effort.js';
import { widenedMap } from './narrowing.js';
import type { ConversionToVerify, VerifyOptions } from './options.js';
import { ownWiring } from './own-wiring.js';
import { comparePredictions, NOT_ONE_BY_ONE } from './predictions.js';
import type { Report, Verdict } from './report.js';
import type { Subject } from './subject.js';
import { verifyWeights } from './weights-alone.js';
import { referenceWitness } from './witness.js';
import type { WrittenModel } from './written/written.js';

/**
 * What the weights predict beside what was recorded, and each of them beside the source's.
 *
 * @throws ModelError 'unsupported' where the wiring is not known
 */
export async function verifyWired(conversion: ConversionToVerify, written: WrittenModel, options: VerifyOptions): Promise<Report> {
  const { edited, target } = conversion;
  const map = conversion.map ?? (await wiringOf(conversion));
  const isFilled = map.layers.every((layer) => Object.keys(layer.weights).every((role) => written.weight(layer, role)));
  const own = await ownWiring(target.files);
  const subject: Subject = {
    map,
    ...(edited ? { edited } : {}),
    target: { ...target, wired: own ?? (isFilled ? widenedMap(map, written) : map) },
    written: isFilled ? written : null,
    layoutOf: (port, shown) => shown.layout ?? port.layout,
    isRead: true,
    effort: effortFor(isLarge(map), isHuge(map)),
    assumed: [...(map.architecture?.assumed ?? [])],
    training: [],
    overridable: [],
    openExpected: () => referenceWitness(map, options, [], edited),
    async compareLayers(_, notes) {
      notes.push(`layers were not compared: ${target.format} files hold weights without wiring`);
      return null;
    },
  };
  const run = await comparePredictions(subject, options);
  const stored = await verifyWeights(conversion, written, options);
  const how = own
    ? 'our own evaluator ran the file, as our own reader reads it'
    : isFilled
      ? `${target.format} files hold weights without wiring: our own evaluator ran those of the file in the wiring of the source`
      : `${target.format} files hold weights without wiring: what was recorded judges the source, which our own evaluator ran; the file's weights were compared with the source's`;
  return {
    ...run,
    verdict: both(run.verdict, own || isFilled ? null : stored.verdict, stored.verdict === 'mismatch'),
    weights: stored.weights,
    firstDifference: run.firstDifference ?? stored.firstDifference,
    cause: run.cause ?? stored.cause,
    notes: [...run.notes.filter((note) => note !== NOT_ONE_BY_ONE || !stored.weights), how],
  };
}

/** @param tie what ties the file to what was run, where that was the source */
function both(run: Verdict, tie: Verdict | null, differs: boolean): Verdict {
  if (run !== 'match') return run;
  return differs ? 'mismatch' : (tie ?? run);
}

async function wiringOf({ model, target }: ConversionToVerify): Promise<LayerMap> {
  try {
    return await model.map();
  } catch (error) {
    if (!isModelError(error) || error.kind !== 'unsupported') throw error;
    const problem = `nothing here can run its weights, so what was recorded (--golden) cannot be compared: ${error.problem} Without --golden weights alone are compared.`;
    throw new ModelError('unsupported', problem, { file: target.files.label }, error);
  }
}
