export interface CaseRun {
  readonly name: string;
  readonly folder: string;
  readonly run: { readonly open?: string };
}
export interface CaseResult {
  readonly isRight: boolean;
  readonly command: string;
  readonly expected: string;
  readonly happened: string;
}
export function listRuns(folder: string): CaseRun[];
export function titleOf(entry: CaseRun): string;
export function runCase(entry: CaseRun): Promise<CaseResult>;
export function endRuns(): void;
