import { join } from 'node:path';
import { formatEstimate } from '../core/format';
import { serveTasks } from '../core/jobs/child-task';
import { CancelledError } from '../core/jobs/job';
import type { Cancellation } from '../core/jobs/job';
import { Estimate, TimeLeft } from '../core/jobs/time-left';
import { ModelCache } from '../core/models/model-cache';
import type { OperationContext } from '../core/operations/operation';
import { costsFolder } from '../core/jobs/user-cache';
import { UserError } from '../core/user-error';
import { callInChild, callTool, createTools } from './mcp/tools';
import type { ToolCall } from './mcp/tools';
import { toFailure } from './failure';
import { commandPath, createProgram, withoutVainHelp } from './program';
import { runOperation } from './run-operation';
import type { Terminal } from './terminal';
import { isAnswered, usageError } from './usage-errors';
import type { Message } from '../core/message';
import { inEnglish } from '../core/message';

/** Environment in which a command runs. */
export interface Surroundings {
  readonly terminal: Terminal;
  readonly cancellation: Cancellation;
  readonly version: string;
  /** Folder of the bundles, a sibling of the samples folder. */
  readonly dist: string;
}

/**
 * Runs one command.
 * @returns its exit code, or that it was stopped
 */
export async function runCommandLine(
  args: readonly string[],
  surroundings: Surroundings,
): Promise<number | 'stopped'> {
  const { terminal, version, dist } = surroundings;
  const context = createContext(surroundings);
  let exitCode = 0;
  let hint: () => string | undefined = () => undefined;
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
    serve: async (except) => {
      const { serve } = await import('./mcp/mcp-server');
      await serve(createTools(callInChild(join(dist, 'cli.js')), except), version);
    },
    performCalls: () => {
      serveTasks(async (call, job) => callTool(call as ToolCall, context, job));
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
    if (args.includes('--json') && !(error instanceof CancelledError)) {
      terminal.printJson(toFailure(error));
    }
    const usage = usageError(error);
    if (usage !== undefined) {
      const command = ['espalier', commandPath(program, args)].filter(Boolean).join(' ');
      terminal.note(`${usage.message}\nSee ${command} --help.`);
      return 2;
    }
    if (error instanceof CancelledError) {
      terminal.note(`Stopped. ${hint() ?? 'Nothing was written.'}`);
      return 'stopped';
    }
    const isKnown = error instanceof UserError;
    terminal.note(isKnown ? `error: ${error.message}` : String((error as Error).stack ?? error));
    return 1;
  }
}

function createContext({
  terminal,
  cancellation,
  version,
  dist,
}: Surroundings): OperationContext<unknown> {
  const models = new ModelCache({ capacity: 4 });
  const timeLeft = new TimeLeft();
  const estimate = new Estimate((seconds) => {
    terminal.note(`This takes about ${formatEstimate(seconds)} on this machine.`);
  });

  const note = (message: Message): void => {
    terminal.note(inEnglish(message));
  };
  return {
    cancellation,
    progress: (progress) => {
      estimate.update(timeLeft.update(progress, performance.now()));
      terminal.progress(progress);
    },
    emit: () => undefined,
    warn: note,
    inform: note,
    share: () => undefined,
    environment: {
      samples: join(dist, '..', 'samples'),
      version,
      costsFolder: costsFolder(),
      bundles: dist,
      open: async (path) => models.open(path),
    },
  };
}
