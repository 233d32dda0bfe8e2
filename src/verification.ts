/**
 * 'weighbridge/verify': what a conversion predicts, against its source, and reports of that. An entry of its own, so that who only
 * converts gets no WebAssembly of a runtime into a bundle.
 */
export { collectExhibits } from './report/collect.js';
export type { Exhibits } from './report/exhibits.js';
export type { ReportDocument, ReportFormat, Subject } from './report/format.js';
export { reportFormats } from './report/index.js';
export { collectSamples, type SampleCollector } from './report/samples.js';
export type { EngineName } from './verify/engines/names.js';
export { setTfjsWasmPaths, type TfjsWasmPaths } from './verify/engines/tfjs-wasm.js';
export type * from './verify/report.js';
export type { RunsToVerify } from './verify/runs.js';
export { type Agreement, type ShrinkTotals, totalsOf, worstAgreement } from './verify/savings.js';
export type { ConversionToVerify, VerifyOptions, WrittenTarget } from './verify/verify.js';
export { verifyConversion, verifyRuns } from './verify-programs.js';
