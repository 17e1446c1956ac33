import { checkpoint } from '../../jobs/job';
import type { Cancellation } from '../../jobs/job';
import { idsPort } from '../../models/example';
import type { LayeredModel } from '../../models/layered-model';
import type { SublayerSummary } from '../../models/model-summary';
import { stream } from '../../models/model-emitter';
import { Head } from '../head';
import { gathersLogits } from '../head-rows';
import type { LayeredExecutor } from '../layered-executor';
import { floatTensor, int64Tensor } from '../tensors';
import type { HiddenState } from '../tensors';

/** Work of a job on a model, in tokens. */
export interface ModelWork {
  /** Tokens through one sublayer, summed over sublayers. */
  readonly sublayerTokens: number;
  /** Number of tokens whose logits are computed and compared. */
  readonly readoutTokens: number;
  /** Returns the number of passes through the sublayers, from the memory that an executor has for states. */
  readonly passes: (executor: LayeredExecutor) => number;
}

/** Numbers of sequences, and of tokens per sequence, in a short run. */
const [probeSequences, probeTokens] = [4, 64] as const;
/** Number of vocabulary ids whose logits are computed. */
const probeIds = 4096;
/** Multiplications that the slowest machine does in a few seconds: less is not worth a probe. */
const leastMultiplications = 1e10;
/** Weights that are ready within a second. */
const mostBytes = 1 << 29;
/** Larger weights are probed too if getting them ready takes a small part of the work: bytes per multiplication, or share of the bytes. */
const bytesPerMultiplication = 5e-5;
const probedShare = 1 / 20;

/** Executor that does a part of a job, and its work. */
export interface ExecutorWork {
  readonly executor: LayeredExecutor;
  readonly work: ModelWork;
}

/**
 * Seconds that some work takes on this machine, from short runs of the first block and the head. Sessions that don't fit in memory
 * are opened again for each pass. Disposes the executors; later ones may share the head of the first.
 * @returns undefined if the work is little, and for models that read no text or that are slow to open
 */
export async function estimateSeconds(
  parts: readonly ExecutorWork[],
  cancellation: Cancellation,
): Promise<number | undefined> {
  try {
    const amount = parts.reduce(
      (sum, { executor, work }) => sum + multiplications(work, executor.model),
      0,
    );
    const opened = parts.reduce(
      (sum, { executor, work: { passes, sublayerTokens } }) =>
        sum + executor.openedBytes(passes(executor), sublayerTokens),
      0,
    );
    const most = Math.max(mostBytes, amount * bytesPerMultiplication, opened * probedShare);
    if (amount < leastMultiplications || !parts.every(({ executor }) => canProbe(executor, most))) {
      return undefined;
    }
    let seconds = 0;
    for (const part of parts) {
      seconds += await partSeconds(part, cancellation);
    }
    return seconds;
  } finally {
    for (const { executor } of [...parts].reverse()) {
      await executor.dispose();
    }
  }
}

/** @param most bytes of the largest weights that may be opened */
function canProbe({ model }: LayeredExecutor, most: number): boolean {
  const sizes = [
    ...firstBlock(model).map((index) => model.sublayer(index).part),
    ...(readsSomeIds(model) ? [] : [model.epilogue]),
  ];
  return idsPort(model.inputs) !== undefined && sizes.every(({ bytes }) => bytes <= most);
}

/** Sublayer indices of the first block. */
const firstBlock = ({ summary: { sublayers } }: LayeredModel): number[] =>
  sublayers.flatMap(({ block }, index) => (block === sublayers[0]?.block ? [index] : []));

async function partSeconds(
  { executor, work }: ExecutorWork,
  cancellation: Cancellation,
): Promise<number> {
  const { sublayerTokens, readoutTokens, passes } = work;
  const { model } = executor;
  const { maxPositions = probeTokens, vocabularySize = probeTokens } = model.summary;
  const length = Math.min(probeTokens, maxPositions);
  const ids = Int32Array.from({ length }, (_, i) => i % vocabularySize);
  let states: HiddenState[] = [];
  for (let i = 0; i < probeSequences; i++) {
    states.push(await executor.embed(ids));
  }
  const first = firstBlock(model);
  let blockSeconds = 0;
  for (const index of first) {
    const before = states;
    blockSeconds += await timeRuns(executor, async () => {
      states = await executor.run(index, before);
      await checkpoint(cancellation);
    });
  }
  const { bytes, seconds } = executor.openings;
  const openingSeconds = seconds / Math.max(1, bytes);
  const headSeconds = readoutTokens === 0 ? 0 : await timeHead(executor, states);
  const tokens = probeSequences * length;
  return (
    (sublayerTokens * blockSeconds) / first.length / tokens +
    executor.openedBytes(passes(executor), sublayerTokens) * openingSeconds +
    (readoutTokens * headSeconds) / tokens
  );
}

/** True if the time for logits of some ids determines the time for all. */
const readsSomeIds = (model: LayeredModel): boolean =>
  (model.emitter?.vocabularySize ?? 0) >= 2 * probeIds && gathersLogits({ model });

/** Times the logits of `states`, in seconds. In a large vocabulary it times some ids and scales the result. */
async function timeHead(
  executor: LayeredExecutor,
  states: readonly HiddenState[],
): Promise<number> {
  const { emitter } = executor.model;
  if (!readsSomeIds(executor.model) || emitter === undefined) {
    return timeRuns(executor, async () => {
      for (const state of states) {
        await executor.output(state);
      }
    });
  }
  const { vocabularySize } = emitter;
  const head = Head.of(executor, emitter);
  const step = Math.floor(vocabularySize / probeIds);
  const ids = Int32Array.from({ length: probeIds }, (_, i) => i * step);
  const sample = {
    ids: int64Tensor(ids, [probeIds]),
    logWeights: floatTensor(new Float32Array(probeIds), [probeIds]),
    rows: await head.rowsOf(ids),
  };
  const joined = await executor.states.join(states, stream);
  try {
    const seconds = await timeRuns(executor, async () => {
      await head.sampledLogits(joined, sample);
    });
    return (seconds * vocabularySize) / probeIds;
  } finally {
    executor.states.letGo(joined);
  }
}

/** Weights of a sublayer that a token meets: those of its experts in a MoE layer. */
function usedWeights({ parameters, experts }: SublayerSummary): number {
  const unused =
    experts === undefined ? 0 : (experts.count - experts.perToken) * experts.parameters;
  return parameters - unused;
}

/** Roughly: one for each weight that a token meets. */
export function multiplications(
  { sublayerTokens, readoutTokens }: Omit<ModelWork, 'passes'>,
  { summary: { sublayers }, epilogue }: LayeredModel,
): number {
  const each = sublayers.reduce((sum, one) => sum + usedWeights(one), 0) / sublayers.length;
  const headWeights = epilogue.bytes / Float32Array.BYTES_PER_ELEMENT;
  return sublayerTokens * each + readoutTokens * headWeights;
}

/** Seconds of a run, without opening sessions of sublayers. */
async function timeRuns(executor: LayeredExecutor, run: () => Promise<void>): Promise<number> {
  const times: number[] = [];
  for (let i = 0; i < 3; i++) {
    const before = executor.openings.seconds;
    const started = performance.now();
    await run();
    const opening = executor.openings.seconds - before;
    times.push((performance.now() - started) / 1000 - opening);
  }
  return Math.min(...times.slice(1));
}
