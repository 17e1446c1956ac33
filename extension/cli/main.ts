import process from 'node:process';
import packageJson from '../../package.json';
import { runCommandLine } from './command-line';
import { Terminal } from './terminal';

/** Exit codes of a process that a signal has ended: 128 and its number. */
const signals = { SIGINT: 130, SIGTERM: 143 } as const;

// ONNX Runtime sends telemetry unless it is disabled before its first session.
process.env['ORT_DISABLE_TELEMETRY'] = '1';

// The reader of a pipe has seen enough, as `head` does.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  process.exit(error.code === 'EPIPE' ? 0 : 1);
});

const terminal = new Terminal();
const cancellation = { isCancellationRequested: false };
let stoppedWith: number | undefined;

for (const [signal, code] of Object.entries(signals)) {
  process.once(signal, () => {
    // The next signal ends the process as if nobody listened, even within a run of ONNX Runtime.
    for (const name of Object.keys(signals)) {
      process.removeAllListeners(name);
    }
    cancellation.isCancellationRequested = true;
    stoppedWith = code;
    terminal.note('Stopping after this step. Press Ctrl-C again to stop at once.');
  });
}

void runCommandLine(process.argv.slice(2), {
  terminal,
  cancellation,
  version: packageJson.version,
  dist: import.meta.dirname,
}).then((code) => {
  process.exitCode = code === 'stopped' ? (stoppedWith ?? 1) : code;
});
