import { fork } from 'node:child_process';
import process from 'node:process';
import type { DeviceName } from './device';
import type { DeviceTrial } from './device-trial';

/** Message from the probe: the trial, or the reason why there is none. */
export type ProbeMessage =
  | { readonly trial: DeviceTrial }
  | {
      /** Reason, as a sentence. */
      readonly failure: string;
    };

/** Settings of a device probe. */
export interface ProbeOptions {
  /** Path of the bundled worker/probe.ts. */
  readonly script: string;
  readonly timeLimitMilliseconds: number;
}

/** Last characters of the child's output that are looked at after a crash. */
const outputTail = 4000;

/**
 * Tries a device in its own child process, because a faulty driver can crash or hang the process
 * that loads it. Always resolves, after the child has ended.
 */
export async function probeDevice(
  device: DeviceName,
  { script, timeLimitMilliseconds }: ProbeOptions,
): Promise<ProbeMessage> {
  const child = fork(script, [device], {
    execArgv: [],
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    env: { ...process.env, ELECTRON_RUN_AS_NODE: '1', ORT_DISABLE_TELEMETRY: '1' },
  });
  let output = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    output = (output + text).slice(-outputTail);
  });
  let timer: NodeJS.Timeout | undefined;
  try {
    return await new Promise<ProbeMessage>((resolve) => {
      timer = setTimeout(() => {
        resolve({ failure: `It did not answer within ${timeLimitMilliseconds / 1000} s.` });
      }, timeLimitMilliseconds);
      child.once('message', (message) => {
        resolve(message as ProbeMessage);
      });
      child.once('error', (error) => {
        resolve({ failure: `It could not be tried: ${error.message}.` });
      });
      child.once('close', (code, signal) => {
        resolve({ failure: crashed(signal ?? `exit code ${code}`, output) });
      });
    });
  } finally {
    clearTimeout(timer);
    child.kill('SIGKILL');
  }
}

function crashed(how: string, output: string): string {
  const lines = output.split('\n').filter((line) => line.trim() !== '');
  const errorLine = lines.find((line) => line.includes('Error')) ?? lines.at(-1);
  return `Trying it ended with ${how}${errorLine === undefined ? '' : `: ${errorLine.trim()}`}.`;
}
