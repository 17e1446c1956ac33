import { inEnglish, say } from '../../core/message';
import type { Message } from '../../core/message';
import { CancelledError } from '../../core/jobs/job';
import type { JobContext } from '../../core/jobs/job';
import type { TaskJob } from '../../core/jobs/child-task';
import { WorkerLostError, SpareChild } from '../../core/jobs/child-task';
import { buildRequest } from '../../core/operations/build-request';
import { shortenResult } from '../../core/operations/shorten-result';
import type { AnyOperation, OperationContext } from '../../core/operations/operation';
import { runOperation } from '../../core/operations/run-operation';
import { toolDeclaration } from '../../core/operations/tool-declaration';
import type { ToolDeclaration } from '../../core/operations/tool-declaration';
import { isReading, listedOperations, toolName } from '../../core/operations/tool-names';
import { UserError } from '../../core/user-error';
import { toFailure } from '../failure';

/** A tool of the Model Context Protocol, as agents see it. */
export interface Tool extends ToolDeclaration {
  readonly isReading: boolean;
  call(given: Readonly<Record<string, unknown>>, run: ToolRun): Promise<ToolAnswer>;
}

/** Cancellation and progress of a call. */
export type ToolRun = Pick<JobContext, 'cancellation' | 'progress'>;

export interface ToolAnswer {
  readonly text: string;
  readonly isError: boolean;
}

/** Performs a call of a tool. */
export type CallTool = (call: ToolCall, run: ToolRun) => Promise<ToolAnswer>;

/** A call of a tool; plain data, so that another process can perform it. */
export interface ToolCall {
  readonly name: string;
  readonly given: Readonly<Record<string, unknown>>;
}

/** Idle time after which the process of the last call ends. */
const idleMilliseconds = 600_000;

/**
 * A tool for each operation, made from its declaration.
 * @param except names of tools that are left out
 * @throws UserError if there is no such tool
 */
export function createTools(perform: CallTool, except: readonly string[]): Tool[] {
  const names = listedOperations.map(toolName);
  const unknown = except.find((name) => !names.includes(name));
  if (unknown !== undefined) {
    throw new UserError('tool-unknown', say`There is no tool "${unknown}".`, {
      field: '--except',
      remedy: say`Give one of ${names.join(', ')}.`,
    });
  }
  const offered = listedOperations.filter((operation) => !except.includes(toolName(operation)));
  return offered.map((operation) => ({
    ...toolDeclaration(operation),
    isReading: isReading(operation),
    call: async (given, run) => perform({ name: toolName(operation), given }, run),
  }));
}

/**
 * Performs calls in child processes, so that a call that computes without end or runs out of memory stops neither the
 * server nor other calls. The last child waits for the next call and keeps the models that it has opened.
 * @param script the command line's bundle
 */
export function callInChild(script: string): CallTool {
  const spare = new SpareChild(idleMilliseconds);
  return async (call, run) => {
    try {
      const answer = await spare.use({ script, args: [toolProcess] }, async (child) =>
        child.run(call, run),
      );
      return answer as ToolAnswer;
    } catch (error) {
      if (error instanceof CancelledError) return stopped(findOperation(call));
      if (error instanceof WorkerLostError) {
        return { text: `The process of this call ended. ${error.message}`, isError: true };
      }
      throw error;
    }
  };
}

/** Command of the process that performs calls. */
export const toolProcess = 'mcp-call';

const findOperation = ({ name }: ToolCall): AnyOperation => {
  const operation = listedOperations.find((one) => toolName(one) === name);
  if (operation === undefined) {
    throw new RangeError(`there is no tool ${name}`);
  }
  return operation;
};

function stopped({ resume }: AnyOperation): ToolAnswer {
  const saved = resume === undefined ? '' : ' The same call continues where it stopped.';
  return { text: `Stopped.${saved}`, isError: true };
}

/** Performs a call in this process. */
export async function callTool(
  call: ToolCall,
  context: OperationContext<unknown>,
  { cancellation, progress }: TaskJob,
): Promise<ToolAnswer> {
  const operation = findOperation(call);
  const warnings: string[] = [];
  const { toJson = (whole: unknown) => whole } = operation;
  try {
    const built = buildRequest(operation, call.given, { name: (key) => key });
    const out = 'out' in built ? undefined : await operation.suggestOut?.(built);
    const request = out === undefined ? built : { ...built, out };
    const result = await runOperation(operation, request, {
      ...context,
      cancellation,
      progress,
      warn: (message: Message) => {
        warnings.push(inEnglish(message));
      },
    });
    return {
      text: shortenResult({
        ...(out === undefined ? {} : { out }),
        ...(warnings.length === 0 ? {} : { warnings }),
        result: toJson(result),
      }),
      isError: operation.passes?.(result) === false,
    };
  } catch (error) {
    if (error instanceof CancelledError) return stopped(operation);
    if (error instanceof UserError) {
      return { text: JSON.stringify(toFailure(error)), isError: true };
    }
    throw error;
  }
}
