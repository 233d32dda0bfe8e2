/** `weighbridge inspect`: what a model file holds. */
import type { Command } from 'commander';
import type { ModelDocument } from '../../inspect.js';
import type { Dim, Port } from '../../model/layer-map.js';
import { inspectPath } from '../../node/inspect-file.js';
import { shownName } from '../../node/remote/location.js';
import { listed } from '../../words.js';
import { recordOptions } from '../given.js';
import { addManyOptions, areSeveral, type ManyFlags } from '../many/options.js';
import { printNotices } from '../notices.js';
import { addSourceOptions, type CommonFlags, modelsNamed, type SourceFlags } from '../options.js';
import { colour, errColour, formatBytes, formatCount, formatNumber, makeVoice, safeText, table, type Voice } from '../print.js';
import { startProgress, watching } from '../progress.js';

interface InspectFlags extends CommonFlags, SourceFlags {
  readonly weights?: boolean;
}

export function registerInspect(program: Command): Command {
  const command = program
    .command('inspect <models...>')
    .description('show format, producer, architecture, layers and weights')
    .option('--weights', 'read every weight: minimum, maximum, mean, deviation, zeros, sha256');
  addSourceOptions(command);
  const given = recordOptions(command, []);
  addManyOptions(command);
  return command.action(async (names: readonly string[], named: InspectFlags & ManyFlags) => {
    const { models, flags } = modelsNamed(names, named);
    if (areSeveral(models, flags)) return (await import('../many/index.js')).runReadings('inspect', models, given(), flags);
    const path = models[0]!;
    const voice = makeVoice(flags);
    const progress = startProgress(voice);
    try {
      const document = await inspectPath(path, { ...flags, ...watching(progress) });
      progress.stop();
      if (voice.asJson) voice.json(document);
      else printModel(voice, path, document, flags.weights === true);
      if (document.layers.length === 0)
        voice.next(
          ['convert', shownName(path), '-o', document.format === 'safetensors' ? 'weights.npz' : 'weights.safetensors'],
          'takes the weights along, without a net',
        );
      else if (document.format === 'onnx') voice.next(['shrink', shownName(path), '-o', 'small.onnx'], 'makes it smaller, with what it costs');
      else voice.next(['convert', shownName(path), '-o', 'model.onnx'], 'converts it, and proves it right');
    } finally {
      progress.stop();
    }
  });
}

function printModel(voice: Voice, path: string, document: ModelDocument, withWeights: boolean): void {
  const facts = [
    ['file', shownName(path)],
    ['format', document.format],
    ['producer', document.producer ?? 'not said'],
    ['architecture', document.architecture?.name ?? 'not recognised'],
    ...Object.entries(document.details),
    ...document.inputs.map((port) => ['input', describePort(port)]),
    ...document.outputs.map((port) => ['output', describePort(port)]),
    ...classesOf(document),
    ['parameters', formatCount(document.parameterCount)],
    ['weights', `${document.tensors.length} ${document.tensors.length === 1 ? 'tensor' : 'tensors'}, ${formatBytes(document.byteLength)}`],
  ] as const;
  for (const [name, value] of facts) voice.say(`${colour.dim(name.padEnd(13))} ${safeText(value)}`);
  if (document.layers.length > 0) {
    voice.say('');
    printLayers(voice, document);
  }
  if (withWeights || document.layers.length === 0) {
    voice.say('');
    printTensors(voice, document);
  }
  for (const assumed of document.architecture?.assumed ?? []) voice.tell(errColour.dim(`assumed: ${safeText(assumed)}`));
  printNotices(voice, document.warnings);
}

/** As many as a line shows. */
const NAMES_SHOWN = 6;

function classesOf({ labels, architecture }: ModelDocument): (readonly [string, string])[] {
  if (!labels) return architecture?.labels ? [['classes', `not named in the file; those of the published net are ${architecture.labels}`]] : [];
  const { names, from } = labels;
  return [['classes', `${formatCount(names.length)}: ${listed(names, NAMES_SHOWN)} (${from})`]];
}

function printLayers(voice: Voice, { layers }: ModelDocument): void {
  const columns = [
    { title: 'layer' },
    { title: 'canonical', optional: 'last' },
    { title: 'operator' },
    { title: 'output shape' },
    // Beside the number of parameters; --weights tells each by itself.
    { title: 'weights', optional: true },
    { title: 'parameters', align: 'right' },
    { title: 'bytes', align: 'right', optional: 'last' },
  ] as const;
  const rows = layers.map((layer) => [
    layer.name,
    layer.canonicalName ?? '',
    layer.op,
    (layer.outputShapes ?? []).flatMap((shape) => (shape ? describeShape(shape) : [])).join(' '),
    Object.entries(layer.weights)
      .map(([role, { shape }]) => `${role} ${describeShape(shape)}`)
      .join('  '),
    layer.parameterCount === 0 ? '' : formatCount(layer.parameterCount),
    layer.byteLength === 0 ? '' : formatBytes(layer.byteLength),
  ]);
  voice.say(table(columns, rows));
}

function printTensors(voice: Voice, { tensors }: ModelDocument): void {
  const number = (title: string) => ({ title, align: 'right' as const });
  const columns = [
    { title: 'tensor' },
    { title: 'dtype' },
    { title: 'shape' },
    { ...number('bytes'), optional: 'last' as const },
    ...['min', 'max'].map(number),
    { ...number('mean'), optional: 'last' as const },
    ...['std', 'zeros'].map((title) => ({ ...number(title), optional: true })),
    number('non-finite'),
    { title: 'sha256', optional: true },
  ];
  const rows = tensors.map((tensor) => [
    tensor.name,
    tensor.dtype,
    describeShape(tensor.shape),
    formatBytes(tensor.byteLength),
    ...[tensor.min, tensor.max, tensor.mean, tensor.std].map((value) => (value === undefined || value === null ? '' : formatNumber(value))),
    tensor.zeros === undefined ? '' : formatCount(tensor.zeros),
    tensor.nonFinite === undefined ? '' : formatCount(tensor.nonFinite),
    tensor.sha256?.slice(0, 12) ?? '',
  ]);
  voice.say(table(columns, rows));
}

function describePort(port: Port): string {
  return `${port.name}  ${port.dtype}  ${port.isUnshaped ? '[?]' : describeShape(port.shape)}${port.layout === 'other' ? '' : `  ${port.layout}`}`;
}

export function describeShape(shape: readonly Dim[]): string {
  return `[${shape.join(', ')}]`;
}
