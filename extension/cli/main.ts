import { join } from 'node:path';
import process from 'node:process';
import { parseArgs } from 'node:util';
import packageJson from '../../package.json';
import { CancelledError } from '../core/jobs/job';
import { ModelCache } from '../core/models/model-cache';
import { UserError } from '../core/user-error';
import { Arguments, UsageError } from './command';
import type { Command } from './command';
import { compare } from './commands/compare';
import { compress } from './commands/compress';
import { convertScores } from './commands/convert-scores';
import { dataDiet } from './commands/data-diet';
import { demo } from './commands/demo';
import { devices } from './commands/devices';
import { evaluate } from './commands/evaluate';
import { exportData } from './commands/export-data';
import { generateCommand } from './commands/generate';
import { repair } from './commands/repair';
import { inspect } from './commands/inspect';
import { patch } from './commands/patch';
import { profile } from './commands/profile';
import { prune } from './commands/prune';
import { scoreData } from './commands/score-data';
import { scoreTextCommand } from './commands/score-text';
import { selectData } from './commands/select-data';
import { sensitivity } from './commands/sensitivity';
import { studyGroupsCommand } from './commands/study-groups';
import { symbolic } from './commands/symbolic';
import { synthesizeCommand } from './commands/synthesize';
import { tensors } from './commands/tensors';
import { train } from './commands/train';
import { Terminal } from './terminal';

const commands: readonly Command[] = [
  inspect,
  tensors,
  compare,
  profile,
  prune,
  patch,
  compress,
  sensitivity,
  repair,
  evaluate,
  generateCommand,
  scoreTextCommand,
  devices,
  train,
  scoreData,
  selectData,
  exportData,
  convertScores,
  dataDiet,
  studyGroupsCommand,
  symbolic,
  synthesizeCommand,
  demo,
];

// ONNX Runtime reports home unless told not to before its first session.
process.env['ORT_DISABLE_TELEMETRY'] = '1';

// The reader of a pipe has seen enough, as `head` does.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  process.exit(error.code === 'EPIPE' ? 0 : 1);
});

const terminal = new Terminal();

async function main([name, ...rest]: readonly string[]): Promise<number> {
  const command = commands.find((known) => known.name === name);
  if (command === undefined) {
    if (name === '--version') {
      terminal.print(packageJson.version);
      return 0;
    }
    const help = name === undefined || name === 'help' || name === '--help' || name === '-h';
    (help && name !== undefined ? terminal.print.bind(terminal) : terminal.note.bind(terminal))(
      help ? overview() : `There is no command "${name}".\n\n${overview()}`,
    );
    return help && name !== undefined ? 0 : 2;
  }
  let hint: string | undefined;
  const cancellation = { isCancellationRequested: false };
  const stop = (): void => {
    if (cancellation.isCancellationRequested) {
      process.exit(1);
    }
    cancellation.isCancellationRequested = true;
    terminal.note('Stopping after this step; press Ctrl-C again to stop at once.');
  };
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
  try {
    const args = parse(command, rest);
    if (args.flag('help')) {
      terminal.print(usageOf(command));
      return 0;
    }
    const models = new ModelCache({ capacity: 4 });
    await command.run(args, {
      terminal,
      open: async (path) => models.open(path),
      samples: join(import.meta.dirname, '..', 'samples'),
      version: packageJson.version,
      resumeHint: (text) => {
        hint = text;
      },
      job: {
        cancellation,
        progress: (progress) => {
          terminal.progress(progress);
        },
        emit: () => undefined,
        warn: (message) => {
          terminal.note(message);
        },
      },
    });
    terminal.clearBar();
    return 0;
  } catch (error) {
    if (error instanceof UsageError) {
      terminal.note(`${error.message}\n\n${usageOf(command)}`);
      return 2;
    }
    if (error instanceof CancelledError) {
      terminal.note(`Stopped. ${hint ?? 'Nothing was written.'}`);
      return 1;
    }
    const known = error instanceof UserError;
    terminal.note(known ? `error: ${error.message}` : String((error as Error).stack ?? error));
    return 1;
  }
}

function parse(command: Command, args: readonly string[]): Arguments {
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      options: { ...command.options, help: { type: 'boolean', short: 'h' } },
      allowPositionals: true,
      strict: true,
    });
    return new Arguments(positionals, values);
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

function usageOf(command: Command): string {
  return `${command.summary}\n\nespalier ${command.name} ${command.usage}`;
}

function overview(): string {
  const width = Math.max(...commands.map(({ name }) => name.length));
  const lines = commands.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`);
  return [
    'espalier COMMAND …',
    '',
    ...lines,
    '',
    'espalier COMMAND --help shows its options.',
  ].join('\n');
}

void main(process.argv.slice(2)).then((code) => {
  process.exitCode = code;
});
