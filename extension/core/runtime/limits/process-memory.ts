import { freemem, totalmem } from 'node:os';
import process from 'node:process';
import { dirname, join } from 'node:path/posix';
import { readProc, readSystemFile } from '../../regular-file';

/** Memory of Node and ONNX Runtime besides the model, once both are running. */
const ownBytes = 96 << 20;

/**
 * Share of the available memory that jobs use if the setting is `auto`; the rest is for other programs and mapped
 * files.
 */
const automaticShare = 0.6;
/** Minimum for `auto`. If it isn't available, jobs fail with their own error. */
const leastAutomatic = 512 << 20;

/** Remaining bytes under a limit of the system, such as a container's; infinite without a limit. */
export function roomUnderLimit(): number {
  const rooms = ownMemory
    .groups()
    .map(({ limitBytes, usedBytes }) => Math.max(0, limitBytes - usedBytes - ownBytes));
  return Math.min(Number.POSITIVE_INFINITY, ...rooms);
}

/** Remaining bytes for this process: the smaller of its limit and the machine's available memory. */
export function availableProcessMemory(): number {
  return Math.min(roomUnderLimit(), ownMemory.availableBytes());
}

/** Bytes for jobs if the memory setting is `auto`. */
export function automaticMemory(): number {
  return Math.floor(Math.max(leastAutomatic, automaticShare * availableProcessMemory()));
}

/** Bytes of memory that the machine has, or that its system allows this process. */
export function machineMemory(): number {
  const limit = process.constrainedMemory();
  return limit > 0 ? Math.min(limit, totalmem()) : totalmem();
}

/** A Linux control group with a memory limit, as containers and services have. */
interface MemoryGroup {
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

/** Numbers of the system, in an object so that tests can replace them. */
export const ownMemory = {
  /**
   * Memory available without swapping. macOS only reports unused memory, so there it is three quarters of the total.
   */
  availableBytes(): number {
    return process.platform === 'darwin' ? 0.75 * totalmem() : freemem();
  },
  groups(): readonly MemoryGroup[] {
    return memoryGroups();
  },
};
