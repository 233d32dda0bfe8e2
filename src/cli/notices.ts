/** Prints what was noticed while a model was read or written: warnings, and what is merely worth telling. */
import type { Notice } from '../model/layer-map.js';
import { noticeLines } from '../report/notices.js';
import { errColour, safeText, type Voice } from './print.js';

/** Lines of one kind, before those that are left are only counted: a net of a hundred layers may have a number in each that float16 loses. */
const MOST = 8;

export function printNotices(voice: Voice, notices: readonly Notice[]): void {
  const [most, layers] = voice.verbose ? [Infinity, Infinity] : [MOST, undefined];
  const counts = new Map<string, number>();
  for (const { code, message, isUsual } of noticeLines(notices, layers)) {
    const count = (counts.get(code) ?? 0) + 1;
    counts.set(code, count);
    if (count > most) continue;
    if (isUsual) voice.tell(errColour.dim(safeText(message)));
    else voice.warn(message);
  }
  for (const [code, count] of counts) if (count > most) voice.warn(`${count - most} more of this kind (${code}); --verbose has all of them`);
}
