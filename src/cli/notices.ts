/** Prints what was noticed while a model was read or written: warnings, and what is merely worth telling. */
import type { Notice } from '../model/layer-map.js';
import { errColour, safeText, type Voice } from './print.js';

/** Which files were read, and that layers of training are gone: right and usual, so nobody needs to be warned. */
const NARRATED: ReadonlySet<string> = new Set(['companion', 'training-layer-removed']);

export function printNotices(voice: Voice, notices: readonly Notice[]): void {
  for (const { code, message } of summarise(notices)) {
    if (NARRATED.has(code)) voice.tell(errColour.dim(safeText(message)));
    else voice.warn(message);
  }
}

/** One line for each kind of thing that happened, however many layers it happened to. */
function summarise(notices: readonly Notice[]): { code: string; message: string }[] {
  const groups = new Map<string, { code: string; message: string; layers: string[] }>();
  for (const { code, message, layer } of notices) {
    const key = `${code} ${message}`;
    const group = groups.get(key) ?? { code, message, layers: [] };
    if (layer !== undefined) group.layers.push(layer);
    groups.set(key, group);
  }
  return [...groups.values()].map(({ code, message, layers }) => ({ code, message: layers.length > 0 ? `${message} (${layers.join(', ')})` : message }));
}
