/** The end of the program's and each command's help: what is typed, and what for; and what exit codes and variables say. */

export const PROGRAM_NAME = 'weighbridge';

export interface HelpEnd {
  readonly examples: Pairs;
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

type Pairs = readonly (readonly [what: string, meaning: string])[];

export const PROGRAM_ENDS: HelpEnd = {
  examples: [
    ['inspect model.h5', 'what a file holds'],
    ['convert model.h5 -o model.onnx', 'converted, and proved right'],
    ['shrink model.pth -o small.onnx', 'int8, with what it costs'],
    ['verify a.h5 b.onnx', 'do both predict the same?'],
    ['audit stranger.pth', 'is it safe to load?'],
    ['-C nets run', 'what nets/weighbridge.config.json says'],
    ['convert --help', 'all that a command takes'],
  ],
  exits: ['0 done, or equal', '1 compared and different', '2 could not', '130 interrupted', '143 terminated'],
};

export const PROGRAM_VARIABLES: Pairs = [
  ['NO_COLOR', 'no colours'],
  ['FORCE_COLOR', 'colours in a pipe too'],
  ['HF_TOKEN', 'for models of hf:// that are not public'],
  ['HF_ENDPOINT', 'another server than huggingface.co'],
  ['WEIGHBRIDGE_CACHE', 'folder of what was fetched'],
  ['WEIGHBRIDGE_CACHE_LIMIT', 'most that it keeps, such as 20GB'],
];

/** Columns of the narrowest terminal that is thought of. */
const WIDTH = 80;

const VARIABLE_LINES = PROGRAM_VARIABLES.map(([name, meaning]) => `  ${name.padEnd(25)}${meaning}`);

export const PROGRAM_END = `${end(PROGRAM_ENDS)}\n\nEnvironment:\n${VARIABLE_LINES.join('\n')}`;

/** The text behind a command's options; lines fit a terminal of 80 columns. */
export function helpEnd(name: string): string {
  const known = HELP_ENDS[name];
  return known ? end(known) : '';
}

function end({ examples, exits = [] }: HelpEnd): string {
  const exitLines = exits.length > 0 ? `\n\nExit codes:\n${exits.map((exit) => `  ${exit}`).join('\n')}` : '';
  return `\nExamples:\n${exampleLines(examples)}${exitLines}`;
}

function exampleLines(examples: Pairs): string {
  const commands = examples.map(([command]) => `  ${PROGRAM_NAME} ${command}`);
  const column = Math.min(52, Math.max(...commands.map(({ length }) => length)) + 3);
  const lines = examples.flatMap(([, what], i) => {
    const line = `${commands[i]!.padEnd(column - 2)}  ${what}`;
    return commands[i]!.length < column - 1 && line.length <= WIDTH ? [line] : [commands[i]!, `${' '.repeat(6)}${what}`];
  });
  return lines.join('\n');
}
