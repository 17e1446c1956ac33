import { checkpoint } from '../../jobs/job';
import type { Cancellation } from '../../jobs/job';
import { idsPort } from '../../models/example';
import type { LayeredModel } from '../../models/layered-model';
import type { DeviceName } from '../device';
import { stream } from '../../models/model-emitter';
import { Head } from '../head';
import { gathersLogits } from '../head-rows';
import { LayeredExecutor } from '../layered-executor';
import { stateBytesPerToken } from '../memory-shares';
import { activeShare, countFitting } from '../states/batches';
import { floatTensor, int64Tensor } from '../tensors';
import type { HiddenState } from '../tensors';

/** Work of a job on a model, in tokens. */
export interface ModelWork {
  /** Tokens through one sublayer, summed over sublayers. */
  readonly sublayerTokens: number;
  /** Tokens whose logits are computed and compared. */
  readonly readoutTokens: number;
}

/** Numbers of sequences, and of tokens per sequence, in a short run. */
const [probeSequences, probeTokens] = [4, 64] as const;
/** Ids of a large vocabulary whose logits it computes. */
const probeIds = 4096;
/** Multiplications that the slowest machine does in a few seconds: less is not worth a probe. */
const leastMultiplications = 1e10;
/** Weights that are ready within a second. */
const mostBytes = 1 << 29;
/** Larger weights are probed too if getting them ready takes a small part of the work: bytes per multiplication. */
const bytesPerMultiplication = 5e-5;

interface ProbeOptions {
  readonly device: DeviceName;
  /** Memory that the work may use. */
  readonly memoryBytes: number;
  readonly cancellation: Cancellation;
}

/**
 * Seconds that some work takes on this machine, from a run of the first block and the head over a few
 * tokens. Sessions that don't fit in memory are opened for each pass; undefined where the work is little, and for models that read no text or that are slow to open.
 */
export async function estimateSeconds(
  work: ModelWork,
  model: LayeredModel,
  { device, memoryBytes, cancellation }: ProbeOptions,
): Promise<number | undefined> {
  const { sublayerTokens, readoutTokens } = work;
  const { sublayers } = model.summary;
  const first = sublayers.flatMap(({ block }, index) =>
    block === sublayers[0]?.block ? [index] : [],
  );
  const sizes = [
    ...first.map((index) => model.sublayer(index).part),
    ...(readsSomeIds(model) ? [] : [model.epilogue]),
  ];
  const amount = multiplications(work, model);
  const most = Math.max(mostBytes, amount * bytesPerMultiplication);
  if (
    amount < leastMultiplications ||
    idsPort(model.inputs) === undefined ||
    sizes.some(({ bytes }) => bytes > most)
  ) {
    return undefined;
  }
  const executor = new LayeredExecutor(model, device, memoryBytes);
  try {
    const { maxPositions = probeTokens, vocabularySize = probeTokens } = model.summary;
    const length = Math.min(probeTokens, maxPositions);
    const ids = Int32Array.from({ length }, (_, i) => i % vocabularySize);
    let states: HiddenState[] = [];
    for (let i = 0; i < probeSequences; i++) {
      states.push(await executor.embed(ids));
    }
    let blockSeconds = 0;
    for (const index of first) {
      const before = states;
      blockSeconds += await timeRuns(async () => {
        const { seconds } = executor.openings;
        states = await executor.run(index, before);
        await checkpoint(cancellation);
        return executor.openings.seconds - seconds;
      });
    }
    const { bytes, seconds: openingSeconds } = executor.openings;
    const secondsPerByte = openingSeconds / Math.max(1, bytes);
    const headSeconds = await timeHead(executor, states);
    const tokens = probeSequences * length;
    const passes = sublayerTokens / sublayers.length / tokensPerPass(executor);
    return (
      (sublayerTokens * blockSeconds) / first.length / tokens +
      passes * executor.streamedBytes * secondsPerByte +
      (readoutTokens * headSeconds) / tokens
    );
  } finally {
    await executor.dispose();
  }
}

/** True if logits of some ids tell what all take. */
const readsSomeIds = (model: LayeredModel): boolean =>
  (model.emitter?.vocabularySize ?? 0) >= 2 * probeIds && gathersLogits({ model });

/** Times the logits of `states`, in seconds. In a large vocabulary it times some ids and scales the result. */
async function timeHead(
  executor: LayeredExecutor,
  states: readonly HiddenState[],
): Promise<number> {
  const { emitter } = executor.model;
  if (!readsSomeIds(executor.model) || emitter === undefined) {
    return timeRuns(async () => {
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
    const seconds = await timeRuns(async () => {
      await head.sampledLogits(joined, sample);
    });
    return (seconds * vocabularySize) / probeIds;
  } finally {
    executor.states.letGo(joined);
  }
}

/** Roughly: one for each weight that a token meets. */
export function multiplications(
  { sublayerTokens, readoutTokens }: ModelWork,
  { summary: { sublayers }, epilogue }: LayeredModel,
): number {
  const mean = sublayers.reduce((sum, one) => sum + one.parameters, 0) / sublayers.length;
  const headWeights = epilogue.bytes / Float32Array.BYTES_PER_ELEMENT;
  return sublayerTokens * mean + readoutTokens * headWeights;
}

/** Tokens of the states that a pass of a search takes through the sublayers, at most. */
const tokensPerPass = ({ shares, model }: LayeredExecutor): number =>
  countFitting(shares, activeShare, stateBytesPerToken(model));

/**
 * Seconds of a run once its sessions are open.
 * @param run returns the seconds in which it opened sessions, if it knows
 */
async function timeRuns(run: () => Promise<number | void>): Promise<number> {
  const times: number[] = [];
  for (let i = 0; i < 3; i++) {
    const started = performance.now();
    const opening = (await run()) ?? 0;
    times.push((performance.now() - started) / 1000 - opening);
  }
  return Math.min(...times.slice(1));
}
