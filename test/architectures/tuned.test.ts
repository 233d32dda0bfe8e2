// @module-tag slow
/** Nets whose head somebody replaced with two dense layers in a Sequential are of the same families. */
import { expect, it } from 'vitest';
import { recogniseStateDict } from '../../src/architectures/recognise.js';
import { openModel } from '../../src/readers/open.js';
import { ARCHITECTURE_CASES, openDialect } from '../dialects.js';
import { atOnce } from './at-once.js';
import { blank } from './blank.js';

/** A face's embedding is no head; LeNet's layers are all its own. */
const REFUSED = ['iresnet', 'lenet-layers'];
const HEADS = ['head', 'classifier', 'fc'];

it('is so of every net whose head is one dense layer', { tags: 'slow' }, async () => {
  const unknown: string[] = [];
  let tried = 0;
  for (const { title, folder } of ARCHITECTURE_CASES) {
    const { files, options } = openDialect(folder);
    if (title.includes('/own-') || options.arch !== undefined || !files.main?.endsWith('.pth')) continue;
    const { tensors } = await openModel(files, options);
    const shapes = Object.fromEntries(tensors.map(({ tensor }) => [tensor.name, tensor.shape]));
    const head = HEADS.find((name) => shapes[`${name}.weight`]?.length === 2);
    const alone = tensors.filter(({ tensor }) => /^(head|classifier|fc|heads|cls_classifier|distillation_classifier)/.test(tensor.name)).length === 2;
    if (head === undefined || !alone) continue;
    const { [`${head}.weight`]: matrix, [`${head}.bias`]: _, ...body } = shapes;
    const features = matrix![1]!;
    const tuned = { [`${head}.1.weight`]: [6, features], [`${head}.1.bias`]: [6], [`${head}.4.weight`]: [3, 6], [`${head}.4.bias`]: [3] };
    const recognised = atOnce(
      recogniseStateDict(blank({ ...body, ...tuned }), {
        file: 'model.pth',
        format: 'pytorch',
        producer: null,
        ...(options.assume ? { assume: options.assume } : {}),
      }),
    );
    tried++;
    if (recognised.unknown !== undefined || recognised.map?.outputs[0]?.shape[1] !== 3) unknown.push(title);
  }
  expect(unknown).toEqual(REFUSED.map((name) => `architectures/${name}`));
  expect(tried).toBeGreaterThan(50);
});
