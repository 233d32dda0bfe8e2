/**
 * Our evaluator as a runtime: products in float32 with sums in float64, on all cores. It runs whatever our readers read, and so cannot see their
 * mistakes: it is taken where no other engine can run a file.
 */
import { readers } from '../../readers/index.js';
import { openModel } from '../../readers/open.js';
import type { Engine } from '../engine.js';
import { referenceSession } from '../reference/session.js';

export const evaluator: Engine = {
  name: 'evaluator',
  formats: readers.map(({ name }) => name),
  device: 'cpu',
  isOwn: true,
  availability: async () => ({ available: true, detail: 'our own evaluator in float32, on what our readers read' }),
  async open({ files, prototxt, wired, layers }) {
    return referenceSession(wired ?? (await (await openModel(files, { prototxt })).map()), { layers: Boolean(layers), precision: 'float32' });
  },
};
