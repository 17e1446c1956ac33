import { readIds } from '../models/example';
import type { ModelInput } from '../models/model-input';
import type { LayeredModel } from '../models/layered-model';
import { openAsItStands } from './session';
import { exampleTensor, floatOutput } from './tensors';

/**
 * The model's output from a graph in a file, run whole on the CPU. Weights are mapped from their
 * file; inputs that the graph has no longer are left out, and those of `newNames` are called otherwise in it.
 */
export async function runWholeGraph(
  file: string,
  model: LayeredModel,
  input: ModelInput,
  newNames: ReadonlyMap<string, string> = new Map(),
): Promise<Float32Array> {
  const session = await openAsItStands(file);
  try {
    const example = input instanceof Int32Array ? readIds(model, input, file) : input;
    const given = Object.fromEntries(
      Object.entries({ ...example, ...model.graph?.settings }).map(([name, value]) => [
        newNames.get(name) ?? name,
        value,
      ]),
    );
    const feeds = Object.fromEntries(
      session.inputNames.flatMap((name) => {
        const value = given[name];
        return value === undefined ? [] : [[name, exampleTensor(value)] as const];
      }),
    );
    return floatOutput(await session.run(feeds, [model.output.name]), model.output.name);
  } finally {
    await session.release();
  }
}
