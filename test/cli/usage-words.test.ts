/** What is said of a line that is not taken: one voice for what commander finds and for what this tool does. */
import { expect, it } from 'vitest';
import { usageWords } from '../../src/cli/usage-words.js';

it.each([
  [
    "error: option '--samples <count>' argument '-3' is invalid. a whole number of zero or more is expected.",
    '--samples -3: a whole number of zero or more is expected.',
  ],
  ["error: option '-C <dir>' argument 'it's' is invalid. there is no such folder.", "-C it's: there is no such folder."],
  [
    "error: option '--layout <layout>' argument 'nhcw' is invalid. Allowed choices are source, nchw, nhwc.",
    '--layout nhcw: source, nchw or nhwc is expected. Did you mean "nchw" or "nhwc"?',
  ],
  ["error: option '--input-shape <sizes>' argument '' is invalid. sizes are expected.", '--input-shape "": sizes are expected.'],
  ["error: option '-o, --output <path>' argument missing", '--output: a value is expected, <path>'],
  [
    "error: command-argument value 'bsh' is invalid for argument 'shell'. Allowed choices are bash, zsh, fish, powershell.",
    'shell "bsh": bash, zsh, fish or powershell is expected. Did you mean "bash" or "zsh" or "fish"?',
  ],
  ["error: unknown option '--golen'\n(Did you mean --golden?)", 'unknown option --golen. Did you mean --golden?'],
  ["error: unknown command 'conver'\n(Did you mean convert?)", 'unknown command conver. Did you mean convert?'],
  ["error: missing required argument 'models'", 'missing required argument models'],
  ["error: required option '-o, --output <path>' not specified", 'required option -o, --output <path> not specified'],
])('%s', (said, words) => {
  expect(usageWords(said)).toBe(words);
});
