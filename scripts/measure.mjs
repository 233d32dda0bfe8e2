/**
 * Loaded into a command's processes with `node --import`: each leaves what it took in the folder that WEIGHBRIDGE_USAGE names, as `<pid>.json`.
 * CPU time and memory are properties of the work; wall time is one of the machine.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

const folder = process.env.WEIGHBRIDGE_USAGE;
if (folder) {
  process.on('exit', () => {
    const { userCPUTime, systemCPUTime, maxRSS } = process.resourceUsage();
    writeFileSync(join(folder, `${process.pid}.json`), JSON.stringify({ cpuSeconds: (userCPUTime + systemCPUTime) / 1e6, rssBytes: maxRSS * 1024 }));
  });
}
