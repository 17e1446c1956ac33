// What run.mjs needs of the core, bundled by it.
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
  const executor = new LayeredExecutor(await openModel(path), limits.device, limits.memoryBytes);
  try {
    const logits = await logitsOf(executor, Int32Array.from(ids));
    return logits.slice(-logits.length / ids.length);
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
