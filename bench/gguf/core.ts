// What run.mjs and mixes.mjs need of the core, bundled by them.
import { loadModelInputs } from '../../extension/core/data/model-inputs';
import { readImportance } from '../../extension/core/export/gguf/importance';
import type { TypeMix } from '../../extension/core/export/gguf/type-mixes';
import { unattended } from '../../extension/core/jobs/job';
import { openModel, openModelFiles } from '../../extension/core/models/open-model';
import { writeModel } from '../../extension/core/pipelines/write-model';
import { LayeredExecutor } from '../../extension/core/runtime/layered-executor';

const limits = { device: 'cpu', memoryBytes: 2 ** 32 } as const;

/** Writes a model as a GGUF file; as stored without a mix. */
export async function write(
  path: string,
  out: string,
  mix: TypeMix | undefined,
  imatrix: string | undefined,
): ReturnType<typeof writeModel> {
  const importance = imatrix === undefined ? {} : { importance: await readImportance(imatrix) };
  const types = mix === undefined ? {} : { types: { mix, ...importance } };
  const model = await openModelFiles(path);
  return writeModel(
    { model, removed: [], out, format: 'gguf', overwrite: true, ...types, ...limits },
    unattended,
  );
}

/** Logits of the last of `ids`, [vocabulary]. */
export async function lastLogits(path: string, ids: readonly number[]): Promise<Float32Array> {
  return withExecutor(path, async (executor) => {
    const logits = await logitsOf(executor, Int32Array.from(ids));
    return logits.slice(-logits.length / ids.length);
  });
}

/** What a changed model makes of a text. */
export interface Judgement {
  /** Mean Kullback–Leibler divergence from the original's chances, in nats. */
  readonly kl: number;
  /** Share of the positions whose most likely token is the original's. */
  readonly sameTop: number;
  readonly perplexity: number;
}

/** Compares models with an original, the first of `paths`, on windows of a text; the original's own divergence is 0. */
export async function judge(
  paths: readonly string[],
  text: string,
  windows: number,
  length: number,
): Promise<Judgement[]> {
  const [original = ''] = paths;
  const request = { file: text, sequences: windows, length };
  const { inputs } = await loadModelInputs(request, await openModel(original), text, 0);
  const texts = inputs.flatMap((input) => (input instanceof Int32Array ? [input] : []));
  const expected: Float32Array[] = [];
  const found: Judgement[] = [];
  for (const path of paths) {
    await withExecutor(path, async (executor) => {
      const sums = { kl: 0, same: 0, loss: 0, rows: 0 };
      for (const [i, ids] of texts.entries()) {
        const logits = await logitsOf(executor, ids);
        addRows(sums, ids, (expected[i] ??= logits), logits);
      }
      const { kl, same, loss, rows } = sums;
      found.push({ kl: kl / rows, sameTop: same / rows, perplexity: Math.exp(loss / rows) });
    });
  }
  return found;
}

/** Adds up the positions of a window that predict another of its tokens. */
function addRows(
  sums: { kl: number; same: number; loss: number; rows: number },
  ids: Int32Array,
  expected: Float32Array,
  logits: Float32Array,
): void {
  const width = logits.length / ids.length;
  for (let row = 0; row + 1 < ids.length; row++) {
    const those = logChances(expected.subarray(row * width, (row + 1) * width));
    const own = logChances(logits.subarray(row * width, (row + 1) * width));
    for (let i = 0; i < width; i++) {
      sums.kl += Math.exp(those[i] ?? 0) * ((those[i] ?? 0) - (own[i] ?? 0));
    }
    sums.same += topOf(those) === topOf(own) ? 1 : 0;
    sums.loss -= own[ids[row + 1] ?? 0] ?? 0;
    sums.rows++;
  }
}

function logChances(logits: Float32Array): Float64Array {
  const most = logits.reduce((a, b) => Math.max(a, b), -Infinity);
  const sum = logits.reduce((total, one) => total + Math.exp(one - most), 0);
  return Float64Array.from(logits, (one) => one - most - Math.log(sum));
}

const topOf = (chances: Float64Array): number =>
  chances.indexOf(chances.reduce((a, b) => Math.max(a, b), -Infinity));

async function withExecutor<Result>(
  path: string,
  use: (executor: LayeredExecutor) => Promise<Result>,
): Promise<Result> {
  const executor = new LayeredExecutor(await openModel(path), limits.device, limits.memoryBytes);
  try {
    return await use(executor);
  } finally {
    await executor.dispose();
  }
}

/** Logits of all positions, [ids, vocabulary]. */
async function logitsOf(executor: LayeredExecutor, ids: Int32Array): Promise<Float32Array> {
  let state = await executor.embed(ids);
  for (const index of executor.model.summary.sublayers.keys()) {
    [state = state] = await executor.run(index, [state]);
  }
  return executor.logits(state);
}
