// Calls that block, as those of a driver do: the last one longer than the watchdog allows, where the argument says so.
import { DeviceWatchdog } from '../../../extension/core/runtime/limits/device-watchdog';

const watchdog = new DeviceWatchdog(400);
const block = (milliseconds: number): void => {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
};
const call = async (milliseconds: number): Promise<void> =>
  watchdog.call(async () => {
    block(milliseconds);
    return Promise.resolve();
  });

async function main(): Promise<void> {
  // Longer than the limit in all, each far shorter; and time without a call.
  for (let i = 0; i < 10; i++) await call(60);
  block(600);
  if (process.argv[2] === 'hangs') await call(60_000);
}

void main();
