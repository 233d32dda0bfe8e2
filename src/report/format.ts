/** What a report format is, and what reports are rendered from. */
import type { Report } from '../verify/report.js';
import type { Exhibits } from './exhibits.js';

export interface ReportDocument {
  readonly report: Report;
  readonly subject: Subject;
  /** Null where no format that was asked for shows any. */
  readonly exhibits: Exhibits | null;
}

/** What was compared with what. */
export interface Subject {
  /** As the user named them. */
  readonly expected: string;
  readonly actual: string;
  /** 'VGG-16', where it was recognised. */
  readonly architecture: string | null;
}

export interface ReportFormat {
  /** With its dot; it chooses the format. */
  readonly extension: string;
  readonly title: string;
  /** Whether it shows pictures, predictions and histograms, which cost time to collect. */
  readonly exhibits: boolean;
  render(document: ReportDocument): Promise<string>;
}
