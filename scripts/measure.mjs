/**
 * Loaded into a command's processes with `node --import`: each leaves what it took in the folder that WEIGHBRIDGE_USAGE names, as `<pid>.json`.
 * CPU time and memory are properties of the work; wall time is one of the machine.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const folder = process.env.WEIGHBRIDGE_USAGE;
if (folder) {
  process.on('exit', () => {
    const { userCPUTime, systemCPUTime } = process.resourceUsage();
    writeFileSync(join(folder, `${process.pid}.json`), JSON.stringify({ cpuSeconds: (userCPUTime + systemCPUTime) / 1e6, rssBytes: peakMemory() }));
  });
}

/** The kernel's own account where there is one: `maxRSS` is never less than what the process that started this one had. */
function peakMemory() {
  try {
    return 1024 * Number(/^VmHWM:\s*(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))[1]);
  } catch {
    return 1024 * process.resourceUsage().maxRSS;
  }
}
