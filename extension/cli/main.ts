import { join } from 'node:path';
import process from 'node:process';
import packageJson from '../../package.json';
import { runInChild } from '../core/jobs/child-task';
import { formatDuration } from '../core/format';
import { CancelledError } from '../core/jobs/job';
import { Estimate, TimeLeft } from '../core/jobs/time-left';
import { ModelCache } from '../core/models/model-cache';
import type { OperationContext } from '../core/operations/operation';
import { costsFolder } from '../core/runtime/user-cache';
import { UserError } from '../core/user-error';
import { commandPath, createProgram, withoutVainHelp } from './program';
import { runOperation } from './run-operation';
import { Terminal } from './terminal';
import { isAnswered, usageProblem } from './usage-errors';
import { inEnglish } from '../core/message';

/** Exit codes of a process that a signal has ended: 128 and its number. */
const signals = { SIGINT: 130, SIGTERM: 143 } as const;

// ONNX Runtime reports home unless told not to before its first session.
process.env['ORT_DISABLE_TELEMETRY'] = '1';

// The reader of a pipe has seen enough, as `head` does.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  process.exit(error.code === 'EPIPE' ? 0 : 1);
});

const terminal = new Terminal();
const { version } = packageJson;
const models = new ModelCache({ capacity: 4 });
const samples = join(import.meta.dirname, '..', 'samples');
const cancellation = { isCancellationRequested: false };
let stoppedWith: number | undefined;
let exitCode = 0;
let hint: () => string | undefined = () => undefined;

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

const timeLeft = new TimeLeft();
const estimate = new Estimate((seconds) => {
  terminal.note(`This takes about ${formatDuration(seconds)} on this machine.`);
});

const context: OperationContext<unknown> = {
  cancellation,
  progress: (progress) => {
    estimate.update(timeLeft.update(progress, performance.now()));
    terminal.progress(progress);
  },
  emit: () => undefined,
  warn: (message) => {
    terminal.note(inEnglish(message));
  },
  environment: {
    samples,
    version,
    costsFolder: costsFolder(),
    open: async (path) => models.open(path),
    processes: {
      run: async (task, job) =>
        runInChild({ script: join(import.meta.dirname, 'trainer.js') }, task, job),
    },
  },
};

async function main(args: readonly string[]): Promise<number> {
  const program = createProgram({
    version,
    print: (text) => {
      terminal.write(text);
    },
    operation: async (operation, presenter, typed) => {
      const passes = await runOperation(operation, presenter, typed, {
        terminal,
        context,
        resumeHint: (resume) => {
          hint = resume;
        },
      });
      exitCode = passes ? 0 : 1;
    },
  });
  if (args.length === 0) {
    terminal.note(program.helpInformation());
    return 2;
  }
  try {
    await program.parseAsync(withoutVainHelp(program, args), { from: 'user' });
    terminal.clearBar();
    return exitCode;
  } catch (error) {
    if (isAnswered(error)) {
      return 0;
    }
    const problem = usageProblem(error);
    if (problem !== undefined) {
      const command = ['espalier', commandPath(program, args)].filter(Boolean).join(' ');
      terminal.note(`${problem}\nSee ${command} --help.`);
      return 2;
    }
    if (error instanceof CancelledError) {
      terminal.note(`Stopped. ${hint() ?? 'Nothing was written.'}`);
      return stoppedWith ?? 1;
    }
    const isKnown = error instanceof UserError;
    terminal.note(isKnown ? `error: ${error.message}` : String((error as Error).stack ?? error));
    return 1;
  }
}

void main(process.argv.slice(2)).then((code) => {
  process.exitCode = code;
});
