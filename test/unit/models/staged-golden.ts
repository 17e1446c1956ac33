import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { LayeredModel } from '../../../extension/core/models/layered-model';
import type { Example } from '../../../extension/core/models/model-input';
import { openModel } from '../../../extension/core/models/open-model';
import { LayeredExecutor } from '../../../extension/core/runtime/layered-executor';
import { floatNpy } from '../data/npy-file';
import { stagedFixture } from '../fixtures';

interface Golden {
  readonly output: { readonly file: string };
  readonly pixel_values: { readonly file: string; readonly shape: readonly number[] };
}

function readFloats(name: string, file: string): Float32Array {
  return new Float32Array(new Uint8Array(readFileSync(stagedFixture(name, file))).buffer);
}

/** Images of a fixture, and the logits of transformers. */
export function stagedGolden(name: string): { examples: Example[]; output: Float32Array } {
  const text = readFileSync(stagedFixture(name, 'golden.json'), 'utf8');
  const { output, pixel_values: pixels } = JSON.parse(text) as Golden;
  const all = readFloats(name, pixels.file);
  const [batch = 1, ...dims] = pixels.shape;
  const size = all.length / batch;
  const examples = Array.from({ length: batch }, (_, i) => ({
    pixel_values: {
      dtype: 'F32' as const,
      dims: [1, ...dims],
      data: all.slice(i * size, (i + 1) * size),
    },
  }));
  return { examples, output: readFloats(name, output.file) };
}

/** One small image as a file: a random one would have 224 × 224 pixels where the family takes any size. */
export function stagedImage(name: string, folder: string): string {
  const path = join(folder, `${name}.npy`);
  const [{ pixel_values: pixels } = {}] = stagedGolden(name).examples;
  writeFileSync(path, floatNpy(pixels?.dims ?? [], [...(pixels?.data ?? [])].map(Number)));
  return path;
}

/** Logits of all examples without the sublayers of `removed`. */
export async function stagedLogits(
  source: string | LayeredModel,
  examples: readonly Example[],
  removed: readonly string[] = [],
): Promise<Float32Array> {
  const model = typeof source === 'string' ? await openModel(source) : source;
  const executor = new LayeredExecutor(model, 'cpu', 1 << 30);
  const units = new Set(removed.flatMap((id) => executor.units.numberOf(id) ?? []));
  try {
    const logits: number[] = [];
    for (const example of examples) {
      let state = await executor.embed(example);
      for (const index of executor.model.summary.sublayers.keys()) {
        [state = state] = await executor.pass(index, [state], units);
      }
      logits.push(...(await executor.logits(state)));
    }
    return Float32Array.from(logits);
  } finally {
    await executor.dispose();
  }
}
