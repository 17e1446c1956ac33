import { afterAll, expect, it } from 'vitest';
import { MatrixProducts } from '../../../extension/core/linear-algebra/matrix-products';
import type { LinearLayer } from '../../../extension/core/models/matrix-encoding';
import { openModel } from '../../../extension/core/models/open-model';
import { LayeredExecutor } from '../../../extension/core/runtime/layered-executor';
import { floatsIn } from '../../../extension/core/runtime/tensors';
import type { HiddenState } from '../../../extension/core/runtime/tensors';
import { familyFixture, familyNames } from '../fixtures';
import { sampled, sublayerFeatures } from '../sample';

const products = new MatrixProducts('cpu', 1 << 28);
afterAll(async () => products.dispose());

const families = await sampled(familyNames, async (family) =>
  sublayerFeatures(familyFixture(family)),
);
/** Families of which some layer is said to add its outputs to the residual stream. */
let found = 0;

/** Changes of the stream by a sublayer, [rows, out], from the second row on: minus those of the first, without biases. */
const withoutBias = (rows: Float32Array, out: number): Float32Array =>
  rows.slice(out).map((value, i) => value - (rows[i % out] ?? 0));

it.each(families)('%s: layers that add to the stream do so unchanged', async (family) => {
  const model = await openModel(familyFixture(family));
  if (model.emitter === undefined) return;
  const executor = new LayeredExecutor(model, 'cpu', 1 << 28);
  try {
    let state = await executor.embed(Int32Array.of(5, 3, 8, 2, 9, 4));
    for (const index of model.summary.sublayers.keys()) {
      const { tapped, summed, linearLayers, streamNames } = model.sublayer(index);
      const adding = linearLayers.filter(({ addsToStream = false }) => addsToStream);
      const streamOf = ({ values }: HiddenState, name: string): Float32Array =>
        floatsIn(values[name] ?? expect.fail(name));
      let inputs: Float32Array | undefined;
      const [layer] = adding as [LinearLayer?];
      const before = state;
      [state = state] = await executor.tap(tapped, [state], (taps) => {
        const tap = layer === undefined ? undefined : taps.get(layer.id);
        inputs = tap === undefined ? undefined : floatsIn(tap).slice();
        return Promise.resolve();
      });
      if (layer === undefined || layer.expert !== undefined) continue;
      expect(adding).toHaveLength(1);
      const { weight, transposed, in: length, out } = layer;
      const [sum = before] = await executor.through(summed, [before]);
      const numbers = inputs ?? expect.fail(layer.id);
      const { numbers: outputs } = await products.apply(
        { kind: 'stored', tensor: weight, transposed },
        { count: numbers.length / length, length, numbers },
      );
      const [old, after] = [streamOf(before, streamNames.before), streamOf(sum, streamNames.after)];
      if (after.length !== outputs.length) continue;
      const changes = withoutBias(
        after.map((value, i) => value - (old[i] ?? 0)),
        out,
      );
      const largest = Math.max(...changes.map(Math.abs));
      expect(largest).toBeGreaterThan(0);
      withoutBias(outputs, out).forEach((value, i) => {
        expect(Math.abs(value - (changes[i] ?? 0)), layer.id).toBeLessThan(1e-4 * largest);
      });
      found++;
    }
  } finally {
    await executor.dispose();
  }
});

it('is known of many families', () => {
  expect(found).toBeGreaterThan(40);
});
