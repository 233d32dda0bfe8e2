/** How much longer than Node itself the command takes to start: the median of pairs that run one right after the other. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

const STARTS = [
  { title: '--version', args: () => ['--version'], limitMs: 40 },
  ...['digits.h5', 'digits.pth', 'digits.caffemodel'].map((name) => ({
    title: `inspect ${name}`,
    args: (root) => ['inspect', join(root, 'demo/digits', name), '--quiet'],
    limitMs: 80,
  })),
];

/**
 * Prints a table row for each.
 *
 * @param {string} root folder of the project
 * @param {string} main path of the built command
 * @param {number} runs pairs of each; starts are short and noisy, so five times as many are made
 * @returns {boolean} whether each is within its limit
 */
export function measureStarts(root, main, runs) {
  console.log('\n| start | node -e 0 | wall | more than Node | limit |');
  console.log('|---|---:|---:|---:|---:|');
  let isWithin = true;
  for (const { title, args, limitMs } of STARTS) {
    const pairs = Array.from({ length: 5 * runs }, () => ({ node: timed(['-e', '0']), command: timed([main, ...args(root)]) }));
    const more = median(pairs.map(({ node, command }) => command - node));
    isWithin &&= more <= limitMs;
    const [node, command] = [median(pairs.map((pair) => pair.node)), median(pairs.map((pair) => pair.command))];
    console.log(`| ${title}${more > limitMs ? ' **over**' : ''} | ${node.toFixed(0)} ms | ${command.toFixed(0)} ms | ${more.toFixed(0)} ms | ${limitMs} ms |`);
  }
  return isWithin;
}

function timed(args) {
  const startedAt = performance.now();
  const { status } = spawnSync(process.execPath, args, { stdio: 'ignore' });
  if (status !== 0) throw new Error(`exit code ${status}`);
  return performance.now() - startedAt;
}

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}
