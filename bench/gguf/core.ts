// // Functions of the core that run.mjs needs. run.mjs bundles this file.
import { loadTokenizer } from '../../extension/core/data/tokenizer';
import { readHeldOut } from '../../extension/core/evaluate/held-out';
import { unattended } from '../../extension/core/jobs/job';
import { openModel } from '../../extension/core/models/open-model';
import { LayeredExecutor } from '../../extension/core/runtime/layered-executor';
import { installedLlama } from '../../extension/core/runtime/llama/installation';
import { predictWithLlama } from '../../extension/core/runtime/llama/run-llama';

const limits = { device: 'cpu', memoryBytes: 2 ** 32 } as const;
const tokens = 128;

/** Release of llama.cpp that is installed. */
export const release = async (): Promise<string | undefined> => (await installedLlama())?.llamaCpp;

interface Comparison {
  /** max |a − b| / max |a| over all logits. */
  readonly error: number;
  /** KL(ours ‖ llama.cpp's) in nats, mean over tokens. */
  readonly klDivergence: number;
  /** Positions with the same most likely next token. */
  readonly sameTop: number;
  readonly positions: number;
  /** True if both tokenize the text into the same ids. */
  readonly sameTokens: boolean;
}

/** Logits of llama.cpp against ours, on the first tokens of a held-out text. */
export async function compareWithLlama(path: string, file: string): Promise<Comparison> {
  const llama = await installedLlama();
  const model = await openModel(path);
  const [ids] = await readHeldOut(file, model, tokens);
  if (llama === undefined || !(ids instanceof Int32Array)) {
    throw new Error('llama.cpp is not installed, or the model reads no text');
  }
  const tokenizer = await loadTokenizer(path);
  const sample = tokenizer.decode([...ids]);
  const theirs = await predictWithLlama(
    llama,
    { model: path, ids, withLogits: true, text: sample },
    unattended,
  );
  const ownIds = tokenizer.encodePlain(sample);
  const executor = new LayeredExecutor(model, limits.device, limits.memoryBytes);
  try {
    const ours = await computeLogits(executor, ids);
    return {
      ...compareLogits(ours, theirs.logits, ids.length),
      sameTokens: ownIds.join() === theirs.textTokens.join(),
    };
  } finally {
    await executor.dispose();
  }
}

/** Logits of all positions, [ids, vocabulary]. */
async function computeLogits(executor: LayeredExecutor, ids: Int32Array): Promise<Float32Array> {
  let state = await executor.embed(ids);
  for (const index of executor.model.summary.sublayers.keys()) {
    [state = state] = await executor.run(index, [state]);
  }
  return executor.logits(state);
}

function compareLogits(
  ours: Float32Array,
  theirs: Float32Array,
  positions: number,
): Omit<Comparison, 'sameTokens'> {
  if (ours.length !== theirs.length) {
    throw new Error(`${ours.length} logits, and ${theirs.length} of llama.cpp`);
  }
  const width = ours.length / positions;
  let [difference, largest, divergence, sameTop] = [0, 0, 0, 0];
  for (let start = 0; start < ours.length; start += width) {
    const [a, b] = [ours, theirs].map((all) => all.subarray(start, start + width));
    if (a === undefined || b === undefined) continue;
    const [logA, logB] = [a, b].map(logSumExp);
    let [bestA, bestB] = [0, 0];
    for (const [i, x] of a.entries()) {
      const y = b[i] ?? Number.NaN;
      difference = Math.max(difference, Math.abs(x - y));
      largest = Math.max(largest, Math.abs(x));
      const logP = x - (logA ?? 0);
      divergence += Math.exp(logP) * (logP - y + (logB ?? 0));
      bestA = x > (a[bestA] ?? 0) ? i : bestA;
      bestB = y > (b[bestB] ?? 0) ? i : bestB;
    }
    sameTop += bestA === bestB ? 1 : 0;
  }
  return {
    error: difference / largest,
    klDivergence: divergence / positions,
    sameTop,
    positions,
  };
}

function logSumExp(values: Float32Array): number {
  const most = values.reduce((a, b) => Math.max(a, b), -Infinity);
  return most + Math.log(values.reduce((sum, x) => sum + Math.exp(x - most), 0));
}
