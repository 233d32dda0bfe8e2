/** Of what was noticed a person reads a few lines; all of it is for who asks. */
import { expect, it } from 'vitest';
import { printNotices } from '../../src/cli/notices.js';
import { makeVoice } from '../../src/cli/print.js';

const notices = [
  ...Array.from({ length: 30 }, (_, i) => ({ code: 'underflow', message: `layer${i}: 2 nonzero values too small for float16 became zero` })),
  { code: 'nan', message: 'layer3: 1 values are NaN' },
  ...Array.from({ length: 12 }, (_, i) => ({ code: 'training-layer-removed', message: 'Dropout acts in training only', layer: `drop${i}` })),
];

function printed(verbose: boolean): { warned: string[]; told: string[] } {
  const [warned, told]: [string[], string[]] = [[], []];
  printNotices({ ...makeVoice({ verbose }), warn: (text) => void warned.push(text), tell: (text) => void told.push(text) }, notices);
  return { warned, told };
}

it('many of one kind are counted, and none of another kind is lost among them', () => {
  const { warned, told } = printed(false);
  expect(warned).toHaveLength(8 + 1 + 1);
  expect(warned).toContain('layer3: 1 values are NaN');
  expect(warned.at(-1)).toBe('22 more of this kind (underflow); --verbose has all of them');
  expect(told.join()).toContain('drop0, drop1, drop2, drop3, drop4, drop5, drop6, drop7 and 4 more');
});

it('--verbose has all of them', () => {
  const { warned, told } = printed(true);
  expect(warned).toHaveLength(31);
  expect(told.join()).toContain('drop11');
});
