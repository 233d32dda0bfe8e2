/** `weighbridge engines`: what can run models here, and what is missing for the rest. */
import type { Command } from 'commander';
import { engines, placed } from '../../verify/engines/index.js';
import { commandHost } from '../engine-host.js';
import type { CommonFlags } from '../options.js';
import { makeVoice, table } from '../print.js';
import { startProgress } from '../progress.js';

/** What `engines --json` prints. */
export interface EnginesDocument {
  readonly schema: 'weighbridge/engines@1';
  readonly engines: readonly {
    readonly name: string;
    readonly formats: readonly string[];
    readonly device: 'cpu' | 'gpu';
    readonly onRequest: boolean;
    readonly available: boolean;
    /** Version and device, or why not and the line that installs it. */
    readonly detail: string;
    readonly adapter: { readonly name: string; readonly software: boolean } | null;
  }[];
}

export function registerEngines(program: Command): Command {
  return program
    .command('engines')
    .description('list the runtimes that can verify here, with version and device, or what installs them')
    .action(async (flags: CommonFlags) => {
      const voice = makeVoice(flags);
      const progress = startProgress(voice);
      const document = await listEngines((done, total) => progress.step('looking', done, total)).finally(() => progress.stop());
      if (voice.asJson) return voice.json(document);
      const columns = [{ title: 'engine' }, { title: 'device' }, { title: 'here' }, { title: 'formats', wraps: true }, { title: 'what', wraps: true }];
      const rows = document.engines.map(({ name, device, available, formats, detail }) => [
        name,
        device,
        available ? 'yes' : 'no',
        formats.length > 5 ? 'all that are read' : formats.join(' '),
        detail.split('\n')[0]!,
      ]);
      voice.say(table(columns, rows));
      voice.next(['doctor'], 'tries each of them on a small net');
    });
}

/** Asks every engine; those on a GPU in a process of their own. */
export async function listEngines(onProgress: (done: number, total: number) => void = () => {}): Promise<EnginesDocument> {
  const host = commandHost();
  const found: EnginesDocument['engines'][number][] = [];
  try {
    for (const engine of engines) {
      onProgress(found.length, engines.length);
      const { available, detail, adapter } = await placed(engine, host).availability();
      const { name, formats, device, onRequest = false } = engine;
      found.push({ name, formats, device, onRequest, available, detail, adapter: adapter ?? null });
    }
  } finally {
    await host.close();
  }
  return { schema: 'weighbridge/engines@1', engines: found };
}
