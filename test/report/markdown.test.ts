/** The Markdown summary, whole, and what it does with hostile names. */
import { expect, it } from 'vitest';
import { markdown } from '../../src/report/markdown.js';
import { codeSpan, escapeMarkdown } from '../../src/report/text.js';
import { documentOf, hostileDocument, MATCH, MISMATCH, QUANTISED } from './examples.js';

it('a match is a heading, a table and a few lines', async () => {
  expect(await markdown.render(documentOf(MATCH))).toMatchInlineSnapshot(`
    "### ✅ match (independent: recorded outputs): \`vgg16.h5\` → \`vgg16.onnx\`

    | output | compared | max abs | of scale | cosine | top-1 |  |
    |---|---:|---:|---:|---:|---:|---|
    | \`prob\` | 4,000 | 4.20e-8 | 1.40e-6 | 1.000000 | 4 of 4 | passed |

    Allowed: \`|difference| <= 1.00e-6 + 2.00e-5 x max|expected|\`; the smallest rtol that passes is 1.10e-6.

    Weights: 2 of 2 tensors equal.

    <sub>a recording of 4 inputs → ort-cpu (onnxruntime-node 1.30.0, CPU) on cpu; 1.23 s; Weighbridge</sub>
    "
  `);
});

it('a mismatch names the first difference, the worst layers and what to try next', async () => {
  expect(await markdown.render(documentOf(MISMATCH))).toMatchInlineSnapshot(`
    "### ❌ mismatch (own reading of the source): \`vgg16.h5\` → \`vgg16.onnx\`

    **First difference:** layer "net/conv3\\_1" is 0.12 at \\[0, 3, 0, 55\\], expected 0.41

    | output | compared | max abs | of scale | cosine | top-1 |  |
    |---|---:|---:|---:|---:|---:|---|
    | \`prob\` | 4,000 | 0.21 | 0.31 | 0.912345 | 1 of 4 | **failed** |

    \`prob\`: worst at \\[2, 7\\]: 0.47, expected 0.68; 0.31 of the output's scale

    Allowed: \`|difference| <= 1.00e-6 + 2.00e-5 x max|expected|\` (two float32 runtimes, which add in another order); the smallest rtol that passes is 0.31.

    38 layers were compared with our float64 evaluator: 28 are further than \`2.00e-5\` of their scale. The worst:

    | layer | canonical | operator | max abs | of scale |  |
    |---|---|---|---:|---:|---|
    | \`net/conv3_1\` | \`conv3_1\` | \`Conv\` | 3.6 | 0.3 | **failed** |
    | \`net/relu3_1\` | \`relu3_1\` | \`Relu\` | 3.2 | 0.2667 | **failed** |
    | \`net/conv3_2\` | \`conv3_2\` | \`Conv\` | 2.88 | 0.24 | **failed** |
    | \`net/relu3_2\` | \`relu3_2\` | \`Relu\` | 2.618 | 0.2182 | **failed** |
    | \`net/conv3_3\` | \`conv3_3\` | \`Conv\` | 2.4 | 0.2 | **failed** |

    Weights: 2 of 2 tensors equal.

    Note: output "prob" is the same for all 4 inputs, so comparing it proves little

    **Next:** the layers before "net/conv3\\_1" (Conv) agree, so look at its padding, stride, dilation, groups and the order of its kernel's axes.

    <sub>reference → ort-cpu (onnxruntime-node 1.30.0, CPU) on cpu; witness: reference, not independent of the reader; 4 generated inputs, seed 0; 1.23 s; Weighbridge</sub>
    "
  `);
});

it('a quantised file has correctness and loss apart', async () => {
  expect(await markdown.render(documentOf(QUANTISED))).toContain(
    "| correctness | the file's own weights, widened to float32 | 1.40e-6 | 4 of 4 | passed |\n| loss | the original | 0.018 | 4 of 4 | passed |",
  );
});

it('a name from a file is no markup, mention, image or table border', async () => {
  const text = await markdown.render(hostileDocument());
  // What is left after code spans and escapes are taken away would be markup.
  const live = text.replace(/(`+)(?:[^`]|(?!\1)`)*?\1(?!`)/g, 'CODE').replace(/\\[\\`*_{}[\]<>#|~!]/g, '');
  expect(live).not.toMatch(/<(?!\/?sub>)/);
  expect(live).not.toMatch(/@everyone/);
  expect(live).not.toMatch(/https?:/);
  const rows = text.split('\n').filter((line) => line.startsWith('|'));
  const borders = rows.map((row) => row.replace(/\\\|/g, '').split('|').length);
  expect(new Set(borders.slice(0, 3)).size).toBe(1);
});

it('a code span is fenced by more backticks than it holds', () => {
  expect(codeSpan('a`b``c')).toBe('``` a`b``c ```');
  expect(codeSpan('plain')).toBe('`plain`');
});

it('a line break in a message does not end its paragraph', () => {
  expect(escapeMarkdown('a\n# b')).toBe('a \\# b');
});

it('says how much of the net the inputs put to use', async () => {
  const coverage = { reached: 999, of: 1000, added: 0, unseen: ['relu1: 1 of 4 units never fired'] };
  const rendered = await markdown.render(documentOf({ ...MATCH, coverage }));
  expect(rendered).toContain('Coverage: the inputs put 99 % of the net to use: 999 of its 1,000 parts (each unit once on and once off');
});
