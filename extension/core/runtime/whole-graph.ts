import { readIds } from '../models/example';
import type { ModelInput } from '../models/model-input';
import type { LayeredModel } from '../models/layered-model';
import { openAsItStands } from './session';
import { exampleTensor, floatOutput } from './tensors';

/**
 * Runs a whole graph from a file on the CPU and returns its output. Weights are mapped from their file. Inputs that the
 * graph no longer has are dropped, and those in `newNames` are renamed.
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
