import { memoryContext } from '../quality-labels';
import { formatBytes } from '../format';
import { say } from '../message';
import type { OpenedModel } from '../models/opened-model';
import { UserError } from '../user-error';
import { machines } from './machines';
import type { MachineName } from './machines';
import { runtimeMemory, totalMemory } from './runtime-memory';
import type { Runtime } from './runtimes';
import { namesType, parseSize, weightBytes } from './size-choices';
import type { TargetSize } from './size-choices';

/** Requested limits for a smaller model. */
export interface AskedTargets {
  /** Percentage, amount or type. */
  readonly size?: string;
  /** Context length, such as `8k`, at which the size counts memory. */
  readonly memoryAt?: string;
  readonly machine?: MachineName;
  /** Tokens per second. */
  readonly speed?: number;
}

const tokensPerK = 1024;

/**
 * Parses a context length that `contextForm` matches.
 * @throws UserError if the model reads fewer tokens
 */
function parseContext(text: string, { summary, path }: OpenedModel): number {
  const tokens = Number.parseInt(text, 10) * (/k$/i.test(text) ? tokensPerK : 1);
  const { maxPositions = Number.POSITIVE_INFINITY } = summary;
  if (tokens > maxPositions) {
    throw new UserError(
      'context-too-long',
      say`The model reads at most ${maxPositions} tokens, not ${tokens}.`,
      {
        ...{ file: path, field: 'memoryAt' },
        remedy: say`Choose a shorter context.`,
      },
    );
  }
  return tokens;
}

/** Context length that memory is counted at. */
export function fitContext(
  model: OpenedModel,
  { memoryAt, machine }: Pick<AskedTargets, 'memoryAt' | 'machine'>,
): number {
  if (memoryAt !== undefined) {
    return parseContext(memoryAt, model);
  }
  const { maxPositions = Number.POSITIVE_INFINITY } = model.summary;
  return machine === undefined
    ? memoryContext(model.summary)
    : Math.min(machines[machine].context, maxPositions);
}

/**
 * The size of the weight files that a request asks for: the smallest of its limits.
 * @throws UserError if a limit is met already, or memory is too small for anything but weights
 */
export async function resolveTarget(
  model: OpenedModel,
  runtime: Runtime,
  asked: AskedTargets,
): Promise<TargetSize> {
  const { size, memoryAt: context, machine } = asked;
  const bytes = await weightBytes(model);
  if (size !== undefined && namesType(size)) {
    return parseSize(size, bytes, runtime);
  }
  const tokens = fitContext(model, asked);
  const { cache, buffers } = runtimeMemory(model, runtime, tokens);
  const beside = cache + buffers;
  const limits: number[] = [];
  if (size !== undefined) {
    const counted = context === undefined ? 0 : beside;
    limits.push(asLimit(parseSize(size, bytes + counted, runtime)) - counted);
  }
  if (machine !== undefined) {
    limits.push(machines[machine].memoryBytes - beside);
  }
  const limit = Math.min(bytes, ...limits);
  if (limit <= 0) {
    throw new UserError(
      'memory-exceeded-by-context',
      say`Keys, values and buffers at ${tokens} tokens of context take ${formatBytes(beside)}, so no memory is left for weights.`,
      {
        ...{ file: model.path, field: machine === undefined ? 'size' : 'machine' },
        remedy: say`Choose a shorter context with --memory-at, or more memory.`,
      },
    );
  }
  if (machine !== undefined && limit === bytes && asked.speed === undefined) {
    const all = totalMemory(runtimeMemory(model, runtime, tokens));
    throw new UserError(
      'model-fits-already',
      say`The model already fits: it takes ${formatBytes(all)} at ${tokens} tokens of context, and ${machine} has ${formatBytes(machines[machine].memoryBytes)} for a model.`,
      {
        ...{ file: model.path, field: 'machine' },
        remedy: say`Choose a size, such as 50%, or a speed.`,
      },
    );
  }
  return { kind: 'limit', bytes: limit };
}

const asLimit = (target: TargetSize): number => (target.kind === 'limit' ? target.bytes : 0);
