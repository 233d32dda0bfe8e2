/** `weighbridge formats`: what can be read and written. */
import type { Command } from 'commander';
import { readers } from '../../readers/index.js';
import { writers } from '../../writers/index.js';
import type { CommonFlags } from '../options.js';
import { makeVoice, table } from '../print.js';

export function registerFormats(program: Command): Command {
  return program
    .command('formats')
    .description('list the formats that can be read and written')
    .action((flags: CommonFlags) => {
      const voice = makeVoice(flags);
      const document = listFormats();
      if (voice.asJson) return voice.json(document);
      const columns = [
        { title: 'format' },
        { title: 'read' },
        { title: 'write' },
        { title: 'extensions', wraps: true },
        { title: 'dtypes written', wraps: true },
        { title: 'what', wraps: true },
      ];
      const rows = document.formats.map((format) => [
        format.name,
        format.reads ? 'yes' : '',
        format.writes ? 'yes' : '',
        format.extensions.join(' '),
        format.dtypes.join(' '),
        format.title,
      ]);
      voice.say(table(columns, rows));
      voice.next(['convert', 'model.h5', '-o', 'model.onnx'], 'the extension chooses the format');
    });
}

export function listFormats() {
  const names = [...new Set([...readers, ...writers].map(({ name }) => name))];
  return {
    schema: 'weighbridge/formats@1' as const,
    formats: names.map((name) => {
      const reader = readers.find((candidate) => candidate.name === name);
      const writer = writers.find((candidate) => candidate.name === name);
      return {
        name,
        title: (reader ?? writer)!.title,
        reads: reader !== undefined,
        writes: writer !== undefined,
        extensions: [...new Set([...(reader?.extensions ?? []), ...(writer?.extensions ?? [])])],
        dtypes: writer?.dtypes ?? [],
      };
    }),
  };
}
