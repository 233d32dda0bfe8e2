/** Verification of a conversion: the written file, read back by its consumer's own runtime, against the best witness there is. */

import { ModelError } from '../errors.js';
import { blameRecording } from './as-written.js';
import { checkRanges, checkSizes, checkSteps, effortFor, isHuge, isLarge } from './effort.js';
import { verifyLayers, withLayers } from './layer-witness.js';
import type { ConversionToVerify, VerifyOptions } from './options.js';
import { comparePredictions } from './predictions.js';
import type { Report } from './report.js';
import type { Subject } from './subject.js';
import { refuseRuntime, verifyWeights } from './weights-alone.js';
import { verifyWired } from './wired.js';
import { chooseWitness } from './witness.js';
import { findWrittenFormat, writtenFormats } from './written/index.js';
import { openPaired } from './written/wired-alike.js';
import type { WrittenModel } from './written/written.js';

export type { ConversionToVerify, VerifyOptions, WrittenTarget } from './options.js';

const NO_FACTS = { training: [], overridable: [] };

/**
 * Compares a written file with what it was made from: what it predicts, where it can be run, and each of its weights.
 *
 * @throws ModelError 'engine' when no engine can run the file, 'malformed' when recorded arrays do not fit the model
 */
export async function verifyConversion(conversion: ConversionToVerify, options: VerifyOptions = {}): Promise<Report> {
  const { source, model, map, edited, target } = conversion;
  const format = findWrittenFormat(target.format, target.wired);
  if (!format) {
    const known = writtenFormats.map((candidate) => candidate.format).join(', ');
    throw new ModelError('unsupported', `written ${target.format} files cannot be verified. Possible: ${known}.`, { file: target.files.label });
  }
  const written = map ? await openPaired(format, target.files, map, target.wired) : await format.open(target.files, []);
  if (!format.runs) {
    if (options.golden) return verifyWired(conversion, written, options);
    refuseRuntime(options, `${target.format} files hold weights without wiring`);
    return verifyWeights(conversion, written, options);
  }
  if (!map) throw new ModelError('unsupported', 'there is no layer map to compare the file with', { file: target.files.label });
  checkSizes(map);
  checkSteps(map);
  await checkRanges(map);
  const facts = model.format === 'onnx' && source.files.main !== null ? await (await import('./written/onnx.js')).onnxFacts(source.files) : NO_FACTS;
  const subjectOf = (written: WrittenModel): Subject => ({
    map,
    ...(edited ? { edited } : {}),
    target,
    written,
    layoutOf: written.layoutOf,
    isRead: true,
    effort: effortFor(isLarge(map), isHuge(map)),
    assumed: [
      ...(map.architecture?.assumed ?? []),
      ...[...model.warnings, ...map.warnings].filter(({ code }) => code === 'assumed').map(({ message }) => message),
    ],
    ...facts,
    openExpected: (first, notes) =>
      chooseWitness({ source, model, map, edited }, { first, host: options.host, layers: options.layers, onProgress: options.onProgress }, notes),
    ...(model.format === 'onnx' && !edited ? { blameRecording: (sample) => blameRecording(source, map, sample, options.host) } : {}),
    compareLayers: (run) => verifyLayers({ source, model, map, edited, target, written, ...run }, options),
    withLayers: (run, notes, work) => withLayers({ source, model, map, edited, target, written, ...run }, options, notes, work),
    ...(written.partners ? { withPorts: async (ports) => subjectOf(await openPaired(format, target.files, map, target.wired, ports)) } : {}),
  });
  return comparePredictions(subjectOf(written), options);
}
