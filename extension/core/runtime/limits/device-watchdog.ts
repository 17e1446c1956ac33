import { Worker } from 'node:worker_threads';
import { hungSignal, mostDeviceMinutes } from './hung-device';

/** Source of the thread. `counts` are the numbers of calls that have started and finished. */
const lookOut = `
const { writeSync } = require('node:fs');
const { workerData: { counts, milliseconds, text, signal } } = require('node:worker_threads');
const period = Math.min(1000, milliseconds / 4);
// Looks are counted, not time: some systems' clocks go on while the machine sleeps.
let [begun, ended, looks] = [0, 0, 0];
setInterval(() => {
  const now = [Atomics.load(counts, 0), Atomics.load(counts, 1)];
  if (now[0] === now[1] || now[0] !== begun || now[1] !== ended) {
    [begun, ended, looks] = [...now, 0];
  } else if (++looks * period > milliseconds) {
    writeSync(2, text);
    try {
      process.kill(process.pid, signal);
    } catch {
      process.kill(process.pid, 'SIGKILL');
    }
  }
}, period);
`;

/** Calls of a driver, which block this process until they return. */
export class DeviceWatchdog {
  #counts: Int32Array | undefined;

  public constructor(private readonly milliseconds: number) {}

  /**
   * Ends this process with a message if the call doesn't return in time. Nothing else can stop it.
   */
  public async call<T>(run: () => Promise<T>): Promise<T> {
    const counts = (this.#counts ??= this.#start());
    Atomics.add(counts, 0, 1);
    try {
      return await run();
    } finally {
      Atomics.add(counts, 1, 1);
    }
  }

  #start(): Int32Array {
    const counts = new Int32Array(new SharedArrayBuffer(8));
    const { milliseconds } = this;
    const text = `\nThe device has not answered for ${mostDeviceMinutes} minutes, so this process ends. What is done is saved: the same command continues. Choose another device if it happens again.\n`;
    new Worker(lookOut, {
      eval: true,
      workerData: { counts, milliseconds, text, signal: hungSignal },
    }).unref();
    return counts;
  }
}

/** Watchdog for all devices of this process except the CPU. */
export const deviceWatchdog = new DeviceWatchdog(mostDeviceMinutes * 60_000);
