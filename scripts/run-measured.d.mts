export interface MeasuredRun {
  /** Null when it was ended from outside. */
  readonly status: number | null;
  readonly signal: string | null;
  /** stdout and stderr together, as they came. */
  readonly words: string;
  readonly stdout: string;
  /** Of all its processes; NaN where it did not live to tell. */
  readonly cpuSeconds: number;
  readonly rssBytes: number;
}
export interface MeasuredOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Where the shell can (not on Windows), the process is ended when it has used this much. */
  readonly cpuSeconds?: number;
}
export function runMeasured(args: readonly string[], options?: MeasuredOptions): Promise<MeasuredRun>;
