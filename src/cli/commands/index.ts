/** The list of commands, in the order of the help text. */
import type { Command } from 'commander';

export interface CommandEntry {
  readonly name: string;
  /** Loads the command; the function adds it and its own options to the program. */
  readonly load: () => Promise<(program: Command) => Command>;
}

export const commands: readonly CommandEntry[] = [
  { name: 'inspect', load: async () => (await import('./inspect.js')).registerInspect },
  { name: 'convert', load: async () => (await import('./convert.js')).registerConvert },
  { name: 'shrink', load: async () => (await import('./shrink.js')).registerShrink },
  { name: 'run', load: async () => (await import('./run.js')).registerRun },
  { name: 'verify', load: async () => (await import('./verify.js')).registerVerify },
  { name: 'diff', load: async () => (await import('./diff.js')).registerDiff },
  { name: 'audit', load: async () => (await import('./audit.js')).registerAudit },
  { name: 'check', load: async () => (await import('./check.js')).registerCheck },
  { name: 'evaluate', load: async () => (await import('./evaluate.js')).registerEvaluate },
  { name: 'report', load: async () => (await import('./report.js')).registerReport },
  { name: 'engines', load: async () => (await import('./engines.js')).registerEngines },
  { name: 'golden', load: async () => (await import('./golden.js')).registerGolden },
  { name: 'arch', load: async () => (await import('./arch.js')).registerArch },
  { name: 'formats', load: async () => (await import('./formats.js')).registerFormats },
  { name: 'doctor', load: async () => (await import('./doctor.js')).registerDoctor },
  { name: 'completion', load: async () => (await import('./completion.js')).registerCompletion },
  { name: 'demo', load: async () => (await import('./demo.js')).registerDemo },
];
