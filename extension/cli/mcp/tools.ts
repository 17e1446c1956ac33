import { inEnglish, say } from '../../core/message';
import type { Message } from '../../core/message';
import { CancelledError } from '../../core/jobs/job';
import type { StageProgress } from '../../core/jobs/job';
import { buildRequest } from '../../core/operations/build-request';
import { fit } from '../../core/operations/fit';
import type { AnyOperation, OperationContext } from '../../core/operations/operation';
import { runOperation } from '../../core/operations/run-operation';
import { toolDeclaration } from '../../core/operations/tool-declaration';
import type { ToolDeclaration } from '../../core/operations/tool-declaration';
import { isReading, listedOperations, toolName } from '../../core/operations/tool-names';
import { UserError } from '../../core/user-error';

/** A tool of the Model Context Protocol, as agents see it. */
export interface Tool extends ToolDeclaration {
  readonly isReading: boolean;
  call(given: Readonly<Record<string, unknown>>, run: ToolRun): Promise<ToolAnswer>;
}

/** What a call is told of, and may be told. */
export interface ToolRun {
  readonly signal: AbortSignal;
  readonly progress: (progress: StageProgress) => void;
}

export interface ToolAnswer {
  readonly text: string;
  readonly isError: boolean;
}

/**
 * A tool for each operation, made from its declaration.
 * @param except names of tools that are left out
 * @throws UserError where there is no such tool
 */
export function toolsOf(context: OperationContext<unknown>, except: readonly string[]): Tool[] {
  const names = listedOperations.map(toolName);
  const unknown = except.find((name) => !names.includes(name));
  if (unknown !== undefined) {
    throw new UserError(say`There is no tool "${unknown}".`, {
      field: '--except',
      remedy: say`Give one of ${names.join(', ')}.`,
    });
  }
  const offered = listedOperations.filter((operation) => !except.includes(toolName(operation)));
  return offered.map((operation) => ({
    ...toolDeclaration(operation),
    isReading: isReading(operation),
    call: async (given, run) => answer(operation, given, context, run),
  }));
}

async function answer(
  operation: AnyOperation,
  given: Readonly<Record<string, unknown>>,
  context: OperationContext<unknown>,
  { signal, progress }: ToolRun,
): Promise<ToolAnswer> {
  const warnings: string[] = [];
  const { toJson = (whole: unknown) => whole } = operation;
  try {
    const built = buildRequest(operation, given, { name: (key) => key });
    const out = 'out' in built ? undefined : await operation.suggestOut?.(built);
    const request = out === undefined ? built : { ...built, out };
    const result = await runOperation(operation, request, {
      ...context,
      cancellation: {
        get isCancellationRequested() {
          return signal.aborted;
        },
      },
      progress,
      warn: (message: Message) => {
        warnings.push(inEnglish(message));
      },
    });
    return {
      text: fit({
        ...(out === undefined ? {} : { out }),
        ...(warnings.length === 0 ? {} : { warnings }),
        result: toJson(result),
      }),
      isError: operation.passes?.(result) === false,
    };
  } catch (error) {
    if (error instanceof CancelledError) {
      const saved =
        operation.resume === undefined ? '' : ' The same call continues where it stopped.';
      return { text: `Stopped.${saved}`, isError: true };
    }
    if (error instanceof UserError) return { text: error.message, isError: true };
    throw error;
  }
}
