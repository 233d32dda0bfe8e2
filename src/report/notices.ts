/** What was noticed while a model was read or written, in as few lines as it takes. */
import type { Notice } from '../model/layer-map.js';
import { listed } from '../words.js';

export interface NoticeLine {
  readonly code: string;
  readonly message: string;
  /** Which files were read, and that layers of training are gone: right and usual, so nobody needs to be warned. */
  readonly isUsual: boolean;
}

const USUAL: ReadonlySet<string> = new Set(['companion', 'training-layer-removed']);

/**
 * One line for each kind of thing that happened, however many layers it happened to.
 *
 * @param most layers that a line names
 */
export function noticeLines(notices: readonly Notice[], most?: number): NoticeLine[] {
  const groups = new Map<string, { code: string; message: string; layers: string[] }>();
  for (const { code, message, layer } of notices) {
    const key = `${code} ${message}`;
    const group = groups.get(key) ?? { code, message, layers: [] };
    if (layer !== undefined) group.layers.push(layer);
    groups.set(key, group);
  }
  return [...groups.values()].map(({ code, message, layers }) => ({
    code,
    message: layers.length > 0 ? `${message} (${listed(layers, most)})` : message,
    isUsual: USUAL.has(code),
  }));
}
