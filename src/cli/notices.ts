/** Prints what was noticed while a model was read or written: warnings, and what is merely worth telling. */
import type { Notice } from '../model/layer-map.js';
import { noticeLines } from '../report/notices.js';
import { errColour, safeText, type Voice } from './print.js';

export function printNotices(voice: Voice, notices: readonly Notice[]): void {
  for (const { message, isUsual } of noticeLines(notices)) {
    if (isUsual) voice.tell(errColour.dim(safeText(message)));
    else voice.warn(message);
  }
}
