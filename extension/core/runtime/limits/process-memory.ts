import { freemem, totalmem } from 'node:os';
import process from 'node:process';
import { memoryGroups } from './memory-groups';
import type { MemoryGroup } from './memory-groups';

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
