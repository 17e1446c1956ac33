import { freemem, totalmem } from 'node:os';
import process from 'node:process';
import { memoryGroups } from './memory-groups';
import type { MemoryGroup } from './memory-groups';

/** Memory of Node and ONNX Runtime besides the model, once both are running. */
const ownBytes = 96 << 20;

/** Share of the available memory that jobs take if the setting is `auto`; the rest is for other programs and mapped files. */
const automaticShare = 0.6;
/** The least that `auto` asks for: what doesn't fit is refused with a message of its own. */
const leastAutomatic = 512 << 20;

/** Bytes that this process may still take if its system limits it, as a container does; infinite if not. */
export function roomUnderLimit(): number {
  const rooms = ownMemory
    .groups()
    .map(({ limitBytes, usedBytes }) => Math.max(0, limitBytes - usedBytes - ownBytes));
  return Math.min(Number.POSITIVE_INFINITY, ...rooms);
}

/** Bytes that this process may still take: what its system allows it, and what the machine has available. */
export function availableProcessMemory(): number {
  return Math.min(roomUnderLimit(), ownMemory.availableBytes());
}

/** Bytes that jobs take if the memory setting is `auto`. */
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
  /** Memory that programs can take without swapping. macOS tells only what nothing uses, so there it is all but a quarter. */
  availableBytes(): number {
    return process.platform === 'darwin' ? 0.75 * totalmem() : freemem();
  },
  groups(): readonly MemoryGroup[] {
    return memoryGroups();
  },
};
