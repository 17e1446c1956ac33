import { readdirSync, readFileSync } from 'node:fs';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { median } from '../../extension/core/statistics';

/** Resources of a process that must not grow. */
export interface Measure {
  /** In use after a collection. */
  readonly heapMegabytes: number;
  readonly rssMegabytes: number;
  /** Open files, sockets and pipes. */
  readonly descriptors: number;
  /** Timers, watchers, sockets and children that keep the process alive. */
  readonly resources: number;
  /** Listeners of the process itself. */
  readonly listeners: number;
  /** Child processes. */
  readonly processes: number;
  /** Memory of those together. */
  readonly childMegabytes: number;
}

/** Looks whose median counts: memory that happens to be given back before one look would seem to grow after it. */
const compared = 3;

/** Growth beyond the bounds, from the median of the first looks to that of the last, in words. */
export function growth(looks: readonly Measure[], bounds: Measure): string[] {
  return (Object.keys(bounds) as (keyof Measure)[]).flatMap((key) => {
    const values = looks.map((look) => look[key]);
    const grown = median(values.slice(-compared)) - median(values.slice(0, compared));
    return grown > bounds[key] ? [`${key} grew by ${grown}, more than ${bounds[key]}`] : [];
  });
}

/** Looks at this process once it is quiet. On Linux. */
export async function measure(): Promise<Measure> {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  for (let i = 0; i < 3; i++) {
    collect();
    await sleep(200);
  }
  const { heapUsed, rss } = process.memoryUsage();
  const children = readdirSync('/proc').filter((name) => readParent(name) === process.pid);
  const events = process.eventNames();
  return {
    heapMegabytes: toMegabytes(heapUsed),
    rssMegabytes: toMegabytes(rss),
    descriptors: readdirSync('/proc/self/fd').length,
    resources: process.getActiveResourcesInfo().length,
    listeners: events.reduce((sum, event) => sum + process.listenerCount(event), 0),
    processes: children.length,
    childMegabytes: toMegabytes(children.reduce((sum, pid) => sum + readRss(pid), 0)),
  };
}

const toMegabytes = (bytes: number): number => Math.round(bytes / 1e6);

function readParent(pid: string): number | undefined {
  const [, parent] = /\) [^Z] (\d+)/.exec(read(`/proc/${pid}/stat`)) ?? [];
  return parent === undefined ? undefined : Number(parent);
}

function readRss(pid: string): number {
  const [, kilobytes = '0'] = /VmRSS:\s+(\d+)/.exec(read(`/proc/${pid}/status`)) ?? [];
  return Number(kilobytes) * 1024;
}

function read(file: string): string {
  try {
    return readFileSync(file, 'latin1');
  } catch {
    return '';
  }
}
