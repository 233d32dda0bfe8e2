/** `weighbridge arch`: the architectures that are recognised from weights alone, and what each of them is. */
import type { Command } from 'commander';
import { type ArchitectureDocument, describeArchitecture, listArchitectures } from '../../architectures/index.js';
import type { CommonFlags } from '../options.js';
import { type Column, formatCount, makeVoice, table } from '../print.js';

export function registerArch(program: Command): Command {
  return program
    .command('arch')
    .argument('[name]', 'a published net, such as vgg16 or resnet50')
    .description('list the architectures that are recognised from weights alone, or show one')
    .action((name: string | undefined, flags: CommonFlags) => {
      const voice = makeVoice(flags);
      if (name === undefined) {
        const document = { schema: 'weighbridge/architectures@1' as const, architectures: listArchitectures() };
        if (voice.asJson) return voice.json(document);
        const columns = [
          { title: 'family', wraps: true },
          { title: 'published nets', wraps: true },
          { title: 'source', optional: true },
        ];
        voice.say(
          table(
            columns,
            document.architectures.map((family) => [family.name, family.nets.join(' '), family.source]),
          ),
        );
        return voice.next(['arch', 'resnet50'], 'shows one of them');
      }
      const document = describeArchitecture(name);
      if (voice.asJson) return voice.json(document);
      show(document, (text) => voice.say(text));
      voice.next(['convert', 'weights.pth', '--arch', name, '-o', 'model.onnx'], 'takes bare weights for it');
    });
}

function show(document: ArchitectureDocument, say: (text: string) => void): void {
  const { order, range, mean, std } = document.preprocessing;
  say(`net      ${document.title} (${document.name})   ${formatCount(document.parameterCount)} parameters   ${document.source}`);
  say(`input    ${document.inputs[0]!.shape.join(' x ')}, ${order}, pixels of ${range.join(' to ')}, less ${mean.join(', ')}, divided by ${std.join(', ')}`);
  if (document.labels) say(`labels   ${document.labels}`);
  say('');
  const columns: Column[] = [
    { title: 'layer' },
    { title: 'canonical', optional: 'last' },
    { title: 'operator' },
    { title: 'weights' },
    { title: 'parameters', align: 'right' },
  ];
  const rows = document.layers.map(({ name, canonicalName, op, weights = {} }) => {
    const shapes = Object.values(weights).map(({ shape }) => shape);
    const count = shapes.reduce((sum, shape) => sum + shape.reduce((product, size) => product * size, 1), 0);
    return [name, canonicalName ?? '', op, shapes[0] ? `[${shapes[0].join(', ')}]` : '', count > 0 ? formatCount(count) : ''];
  });
  say(table(columns, rows));
  if (document.assumed.length > 0) say('');
  for (const sentence of document.assumed) say(`assumed: ${sentence}`);
}
