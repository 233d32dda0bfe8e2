/** The end of each command's help: what is typed, and what for; and what its exit codes say. */

export interface HelpEnd {
  readonly examples: readonly (readonly [command: string, what: string])[];
  /** By code; those that every command has where it is left out. */
  readonly exits?: readonly string[];
}

const TESTED = ['0 done, and the same', '1 done, and not the same', '2 could not'] as const;

export const HELP_ENDS: Readonly<Record<string, HelpEnd>> = {
  inspect: {
    examples: [
      ['inspect model.h5', 'format, layers, weights'],
      ['inspect model.pth --weights', 'with the range of each weight'],
      ['inspect hf://owner/repository/model.onnx', 'without fetching all of it'],
    ],
  },
  convert: {
    examples: [
      ['convert model.h5 -o model.onnx', 'converted, and proved right'],
      ['convert net.caffemodel -o out/ --to tfjs', 'for a page'],
      ['convert model.pth -o model.onnx --dtype float16', 'half the size'],
      ['convert model.h5 -o model.onnx --golden recorded.npz', 'against a recording'],
      ['convert *.h5 -o out/ --to onnx', 'many, with one table at the end'],
    ],
    exits: TESTED,
  },
  shrink: {
    examples: [
      ['shrink model.h5 --to onnx -o small/', 'int8, with what it costs'],
      ['shrink model.h5 -o small.onnx --budget 20MB', 'what fits into 20 MB'],
      ['shrink model.h5 -o small.onnx --inputs pictures/', 'judged on pictures'],
    ],
    exits: ['0 done, and as good as was asked for', '1 done, and not as good, or larger', '2 could not'],
  },
  run: {
    examples: [
      ['run', 'all jobs of weighbridge.config.json'],
      ['run nightly --dry-run', 'what one of them would do'],
    ],
    exits: ['the worst of all jobs'],
  },
  verify: {
    examples: [
      ['verify model.h5 model.onnx', 'do both predict the same?'],
      ['verify model.onnx --golden recorded.npz', 'against a recording alone'],
      ['verify model.h5 model.onnx --report report.html', 'a page to show'],
      ['verify model.h5 model.onnx --layers', 'the first layer that differs'],
    ],
    exits: ['0 the same', '1 not the same, or nothing was compared', '2 could not'],
  },
  diff: {
    examples: [
      ['diff before.pth after.pth', 'which tensors changed, and how much'],
      ['diff model.h5 model.onnx --all', 'equal ones as well'],
      ['diff before.pth after.pth --html diff.html', 'a page with histograms'],
    ],
    exits: ['0 equal', '1 not equal', '2 could not'],
  },
  audit: {
    examples: [
      ['audit stranger.pth', 'is it safe to load?'],
      ['audit hf://owner/repository/model.bin', 'before it is fetched'],
      ['audit models/*.pth --weights', 'many, and every value in them'],
    ],
    exits: ['0 nothing but notes', '1 something suspect or dangerous was found', '2 could not look'],
  },
  check: {
    examples: [
      ['check policy.yaml', 'sizes, dtypes, hashes, predictions'],
      ['check policy.yaml --update', 'the lock file anew'],
      ['check policy.yaml --report check.sarif', 'for code scanning'],
    ],
    exits: ['0 everything is as the policy wants', '1 something is not', '2 could not check'],
  },
  evaluate: {
    examples: [
      ['evaluate model.onnx --data pictures/', 'how many are right'],
      ['evaluate small.onnx --data val/ --against model.h5', 'what shrinking costs'],
      ['evaluate model.onnx --data val/ --shard 1/4 -o part1.json', 'a quarter'],
    ],
    exits: ['0 done', '1 fewer are right than was asked for', '2 could not'],
  },
  report: { examples: [['report merge part1.json part2.json', 'parts of one evaluation']] },
  engines: { examples: [['engines', 'what can run models here']] },
  golden: {
    examples: [
      ['golden model.h5 -o record.py', 'a script that records what the model predicts'],
      ['golden --framework torch --input-shape 1,3,224,224', 'on stdout'],
    ],
  },
  arch: {
    examples: [
      ['arch', 'all that are recognised'],
      ['arch resnet50', 'its layers, and what it takes'],
    ],
  },
  formats: { examples: [['formats', 'what is read, what is written']] },
  doctor: { examples: [['doctor', 'tries everything, and sends nothing']], exits: ['0 what is here works', '1 something does not'] },
  completion: {
    examples: [['completion bash > ~/.weighbridge.bash', 'to be sourced in ~/.bashrc']],
  },
  demo: {
    examples: [
      ['demo', 'three files of digits, converted and proved right'],
      ['demo --vgg16', 'the same at full size, 3.5 GB'],
    ],
  },
};

/** Columns of the narrowest terminal that is thought of. */
const WIDTH = 80;

/** The text behind a command's options; lines fit a terminal of 80 columns. */
export function helpEnd(name: string): string {
  const end = HELP_ENDS[name];
  if (!end) return '';
  const commands = end.examples.map(([command]) => `  weighbridge ${command}`);
  const column = Math.min(52, Math.max(...commands.map(({ length }) => length)) + 3);
  const lines = end.examples.flatMap(([, what], i) => {
    const line = `${commands[i]!.padEnd(column - 2)}  ${what}`;
    return commands[i]!.length < column - 1 && line.length <= WIDTH ? [line] : [commands[i]!, `${' '.repeat(6)}${what}`];
  });
  const exits = end.exits ? `\n\nExit codes:\n${end.exits.map((exit) => `  ${exit}`).join('\n')}` : '';
  return `\nExamples:\n${lines.join('\n')}${exits}`;
}
