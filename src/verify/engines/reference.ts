/** Our own float64 evaluator of the layer map as an engine: it runs whatever our readers read, and so cannot see their mistakes. */
import { readers } from '../../readers/index.js';
import { openModel } from '../../readers/open.js';
import type { Engine } from '../engine.js';
import { referenceSession } from '../reference/session.js';

export const reference: Engine = {
  name: 'reference',
  formats: readers.map(({ name }) => name),
  device: 'cpu',
  onRequest: true,
  isOwn: true,
  availability: async () => ({ available: true, detail: 'our float64 evaluator, on what our readers read' }),
  async open({ files, prototxt, wired, layers }) {
    return referenceSession(wired ?? (await (await openModel(files, { prototxt })).map()), { layers: Boolean(layers) });
  },
};
