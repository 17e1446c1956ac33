import { inEnglish } from '../../core/message';
import type { Message } from '../../core/message';
import { CancelledError } from '../../core/jobs/job';
import type { StageProgress } from '../../core/jobs/job';
import { buildRequest } from '../../core/operations/build-request';
import { fieldSchemas } from '../../core/operations/json-schema';
import type { JsonSchema } from '../../core/operations/json-schema';
import type { AnyOperation, OperationContext } from '../../core/operations/operation';
import { operations } from '../../core/operations/operations';
import type { OperationId } from '../../core/operations/operations';
import { runOperation } from '../../core/operations/run-operation';
import { UserError } from '../../core/user-error';
import { fit } from './fit';

/** A tool of the Model Context Protocol, as agents see it. */
export interface Tool {
  readonly name: string;
  readonly title: string;
  readonly description: string;
  readonly inputSchema: JsonSchema & { readonly type: 'object' };
  /** Whether it writes nothing but its own progress and costs. */
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

/** What is for people at a terminal, for studies, or goes on until it is stopped. */
const unlisted = new Set<OperationId>([
  ...(['demo', 'try-family', 'symbolic enumerate', 'symbolic evaluate'] as const),
  ...(['convert-scores', 'study-groups', 'train', 'worker', 'queue'] as const),
]);

/** A tool for each operation, made from its declaration. */
export function toolsOf(context: OperationContext<unknown>): Tool[] {
  return operations
    .filter(({ id }) => !unlisted.has(id))
    .map((operation) => toolOf(operation as unknown as AnyOperation, context));
}

function toolOf(operation: AnyOperation, context: OperationContext<unknown>): Tool {
  const { title, summary, fields, rules, trust } = operation;
  const notes = [...new Set(rules.map((rule) => inEnglish(rule.describe((key) => key))))];
  const long =
    trust === 'inspect' ? [] : ['Runs on this machine, which may take minutes to hours.'];
  const required = Object.entries(fields)
    .filter(([, field]) => field.present && field.default === undefined)
    .map(([key]) => key);
  return {
    name: title.toLowerCase().replaceAll(' ', '_'),
    title,
    description: [summary, ...long, ...notes].join(' '),
    inputSchema: {
      type: 'object',
      properties: fieldSchemas(fields),
      required,
      additionalProperties: false,
    },
    isReading: trust === 'inspect',
    call: async (given, run) => answer(operation, given, context, run),
  };
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
