import { dirname, join } from 'node:path/posix';
import { readProc, readSystemFile } from '../../proc-file';

/** A Linux control group with a memory limit, as containers and services have. */
export interface MemoryGroup {
  readonly limitBytes: number;
  /** Memory of its processes that the kernel can't reclaim: anonymous memory and files in tmpfs. */
  readonly usedBytes: number;
}

/** Interface files of a version of control groups. */
interface Version {
  readonly root: string;
  /** Files of limits. The lowest counts. */
  readonly limits: readonly string[];
  /** Keys of memory.stat that add up to {@link MemoryGroup.usedBytes}. */
  readonly used: readonly string[];
}

const version1: Version = {
  root: '/sys/fs/cgroup/memory',
  limits: ['memory.limit_in_bytes'],
  used: ['total_rss', 'total_shmem'],
};
const version2: Version = {
  root: '/sys/fs/cgroup',
  // Above `memory.high`, the kernel slows processes down until they hardly run.
  limits: ['memory.max', 'memory.high'],
  used: ['anon', 'shmem'],
};

/**
 * Control groups of this process that limit memory: its own group and all groups above. Node's `constrainedMemory` reads
 * the limit of its own group only.
 */
export function memoryGroups(): MemoryGroup[] {
  const lines = (readProc('self/cgroup') ?? '').split('\n').map((line) => line.split(':'));
  const own = lines.find(([, controllers = '']) => controllers.split(',').includes('memory'));
  const unified = lines.find(([id, controllers]) => id === '0' && controllers === '');
  const [version, path] = own === undefined ? [version2, unified?.[2]] : [version1, own[2]];
  return path === undefined ? [] : groupsFrom(version, path);
}

function groupsFrom(version: Version, path: string): MemoryGroup[] {
  const group = readGroup(version, join(version.root, path));
  const above = path === '/' ? [] : groupsFrom(version, dirname(path));
  return group === undefined ? above : [group, ...above];
}

/** @returns undefined without a limit, or if the folder isn't visible, as in a container */
function readGroup({ limits, used }: Version, folder: string): MemoryGroup | undefined {
  // "max" is not a number.
  const limitBytes = Math.min(
    ...limits
      .map((name) => Number(readSystemFile(join(folder, name)) ?? Number.NaN))
      .filter((bytes) => Number.isFinite(bytes)),
  );
  const stat = readSystemFile(join(folder, 'memory.stat'));
  if (!Number.isFinite(limitBytes) || stat === undefined) {
    return undefined;
  }
  const readValue = (key: string): number =>
    Number(new RegExp(`^${key} (\\d+)$`, 'm').exec(stat)?.[1] ?? 0);
  return { limitBytes, usedBytes: used.reduce((sum, key) => sum + readValue(key), 0) };
}
