/** Outputs that the original framework recorded, as the witness that they are; there is nothing to load and run. */
import { ModelError } from '../../errors.js';
import type { Engine } from '../engine.js';

export const recorded: Engine = {
  name: 'recorded',
  formats: [],
  device: 'cpu',
  onRequest: true,
  availability: async () => ({ available: true, detail: 'arrays that the original framework recorded: --golden file.npz, for a model of any format' }),
  async open({ files }) {
    throw new ModelError('usage', 'recorded outputs come from a file of their own (--golden), not from a model', { file: files.label });
  },
};
