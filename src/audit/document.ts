/** What an audit finds, and how grave each kind of finding is. `schemas/audit.schema.json` describes the document. */

/** `danger`: made to have something run or read that is no model's; `suspect`: may be, and a model can do without; `note`: good to know. */
export type Severity = 'danger' | 'suspect' | 'note';

export interface Rule {
  readonly severity: Severity;
  readonly title: string;
  /** What it means for who loads the file with its own framework, and what to do. */
  readonly advice: string;
}

const rule = (severity: Severity, title: string, advice: string): Rule => ({ severity, title, advice });

export const RULES = {
  'pickle-runs-code': rule(
    'danger',
    'a pickle names what runs code',
    'Python runs it as soon as the file is loaded with pickle.load or torch.load(weights_only=False). Do not load it; tell where it came from.',
  ),
  'pickle-foreign-name': rule(
    'suspect',
    'a pickle names classes or functions of other programs',
    'They are imported and called when the file is loaded by Python. Convert the weights to safetensors or ONNX, which hold none.',
  ),
  'pickle-damaged': rule('suspect', 'a pickle cannot be followed to its end', 'Python runs what stands before the damage all the same. Do not load it.'),
  pickle: rule('note', 'it holds pickles', 'Pickles can run code, though these name only what rebuilds tensors. safetensors and ONNX cannot.'),
  'program-inside': rule('danger', 'a program lies inside', 'No model needs one. Do not unpack it.'),
  'archive-path': rule('danger', "a member's name leaves the folder", 'An unpacker that does not check names writes over other files.'),
  'archive-link': rule('danger', 'a member is a link', 'An unpacker may follow it out of the folder.'),
  'unused-bytes': rule(
    'suspect',
    'bytes belong to nothing',
    'They are read by no framework, and may be read by another program: something is hidden, or was left behind.',
  ),
  'outside-file': rule('danger', 'it asks for files outside its folder', 'A framework that follows it reads a file of yours as if it were weights.'),
  'keras-code': rule(
    'danger',
    'a Keras layer holds Python bytecode',
    'Keras runs it when the model is loaded without safe mode, and older versions always. Replace the layer by those that it stands for.',
  ),
  'keras-import': rule(
    'danger',
    'a Keras configuration asks for what is no layer',
    'Keras before 3.9 imports and calls whatever module and name stand there. Do not load it.',
  ),
  'keras-foreign-class': rule('suspect', 'a Keras configuration names classes of other programs', 'Loading needs that code; look at where it comes from.'),
  'keras-file': rule('suspect', 'a Keras layer names a file to be read', 'Keras reads it when the model is loaded.'),
  'tensorflow-code': rule('danger', 'a TensorFlow graph calls Python', 'It calls functions of the program that runs it.'),
  'tensorflow-file': rule('danger', 'a TensorFlow graph reads or writes files', 'It does so when the model is run.'),
  'foreign-operator': rule('suspect', 'it needs operators of other libraries', 'A native library has to be loaded for them; look at where it comes from.'),
  'torchscript-file': rule('danger', 'a TorchScript program reads or writes files', 'It does so when the model is loaded or run.'),
  torchscript: rule('note', 'it holds a TorchScript program', 'The program runs in its own interpreter, which cannot call Python.'),
  'private-path': rule('note', "it names folders of somebody's machine", 'Whoever gets the file sees them.'),
  'odd-weights': rule('suspect', 'weights that cannot be meant', 'Ask where the file came from, or fetch it anew.'),
  unsafe: rule('danger', 'reading on would be unsafe', 'The file asks for memory, files or code that no model has use for.'),
  unreadable: rule('suspect', 'it contradicts its own format', 'It is damaged, or was made to be read differently by different programs.'),
  'unknown-format': rule('suspect', 'its content is of no format known here', 'Only what every file may hold was looked for.'),
} as const satisfies Readonly<Record<string, Rule>>;

export type RuleName = keyof typeof RULES;

export interface Finding {
  readonly rule: RuleName;
  readonly severity: Severity;
  readonly message: string;
  /** Path of the file, with what lies inside of it behind slashes. */
  readonly file: string;
  /** Byte offset in that file. */
  readonly offset?: number;
}

export interface AuditedFile {
  readonly name: string;
  readonly byteLength: number;
  /** What it was looked at as: 'pickle', 'zip archive'. */
  readonly kinds: readonly string[];
}

/** What `audit --json` prints. */
export interface AuditDocument {
  readonly schema: 'weighbridge/audit@1';
  readonly model: string;
  /** Name of the reader that knows it; null where none does. */
  readonly format: string | null;
  readonly files: readonly AuditedFile[];
  readonly findings: readonly Finding[];
  /** The gravest finding; `clean` with notes alone. */
  readonly verdict: 'clean' | 'suspect' | 'dangerous';
}
