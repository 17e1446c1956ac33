import { deviceNames } from '../../core/runtime/device';
import type { DeviceChoice } from '../../core/runtime/device';
import { parseMemorySize } from '../../core/runtime/memory-size';
import { UsageError } from './command';
import type { Arguments, OptionTypes } from './command';

export const runOptionTypes: OptionTypes = {
  device: { type: 'string' },
  memory: { type: 'string' },
};

export const runUsage = '[--device auto|cpu|cuda|dml|coreml|webgpu] [--memory 4GiB]';

/** Where and with how much memory to run. */
export function readRunOptions(args: Arguments): { device: DeviceChoice; memoryBytes: number } {
  const memory = args.text('memory') ?? '4GiB';
  const memoryBytes = parseMemorySize(memory);
  if (memoryBytes === undefined) {
    throw new UsageError(`--memory takes a size such as 4GiB or 512MiB, not "${memory}".`);
  }
  return { device: args.choice('device', ['auto', ...deviceNames], 'auto'), memoryBytes };
}
