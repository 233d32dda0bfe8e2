/** `weighbridge demo`: the main job on a small net that ships with the tool, or on a full-size VGG16. */
import type { Command } from 'commander';
import type { DemoFlags } from '../demo/run.js';

export function registerDemo(program: Command): Command {
  return program
    .command('demo')
    .description('convert and verify a small digits net that ships with the tool; --vgg16 for full size')
    .option('--vgg16', 'make a seeded 533 MiB VGG16 in three dialects (kept for the next time), convert and verify it')
    .option('--folder <path>', 'where converted files go', 'weighbridge-demo')
    .action(async (flags: DemoFlags) => (await import('../demo/run.js')).runDemo(flags));
}
