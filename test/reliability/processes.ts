import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** Environment variable that marks the processes of a disturbed task and their children. */
export const marker = 'ESPALIER_DISTURBED';

/** Time in which child processes of a killed process must end: their watchdog checks twice a second, and the machine may be busy. */
const graceMilliseconds = 20_000;

/** Ids of the processes with a mark that run, or of any that are ending; none where the system does not tell. */
function marked(mark: string): number[] {
  let names: string[] = [];
  try {
    names = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  } catch {
    // Only Linux has this.
  }
  return names.filter((pid) => isMarked(pid, `${marker}=${mark}`)).map(Number);
}

function isMarked(pid: string, wanted: string): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const environment = readFileSync(`/proc/${pid}/environ`, 'latin1');
    // A process that is ending has lost its environment first.
    const isEnding = environment === '' && /\(node\) [^ZX] /.test(stat);
    return isEnding || environment.split('\0').includes(wanted);
  } catch {
    // It has ended, or is somebody else's.
    return false;
  }
}

/** Waits until no process with a mark runs. @returns those that still do after some seconds */
export async function outlived(mark: string): Promise<number[]> {
  const end = performance.now() + graceMilliseconds;
  for (;;) {
    const left = marked(mark);
    if (left.length === 0 || performance.now() > end) return left;
    await sleep(20);
  }
}
