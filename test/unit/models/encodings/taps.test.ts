import { describe, expect, it } from 'vitest';
import type { LayeredModel } from '../../../../extension/core/models/layered-model';
import type { LinearLayer, LinearRole } from '../../../../extension/core/models/matrix-encoding';
import { openModel } from '../../../../extension/core/models/open-model';
import { floatsIn } from '../../../../extension/core/runtime/tensors';
import { fixture, relativeError } from '../../fixtures';
import { makeRandomModel } from '../../random-model';
import { runTapped, readStates, readWeights } from './layered';

const ids = Int32Array.of(3, 1, 4, 1, 5, 9, 2, 6);

/** rows [rows, in] · Wᵀ, in float64. */
async function product(layer: LinearLayer, rows: ArrayLike<number>): Promise<Float64Array> {
  const { out, in: input } = layer;
  const [weight = new Float32Array()] = await readWeights([layer]);
  return Float64Array.from({ length: (rows.length / input) * out }, (_, place) => {
    const [row, o] = [Math.floor(place / out), place % out];
    let sum = 0;
    for (let i = 0; i < input; i++) {
      sum += (rows[row * input + i] ?? 0) * (weight[o * input + i] ?? 0);
    }
    return sum;
  });
}

/** Residual stream before and after a sublayer, and the inputs of its layers, by role. */
async function tapped(model: LayeredModel, index: number) {
  const states = await readStates(model, ids);
  const stream = (i: number): Float32Array => {
    const hidden = states[i]?.values['hidden'];
    return hidden === undefined ? new Float32Array() : floatsIn(hidden);
  };
  const step = model.sublayer(index).tapped;
  const [state, layers] = [states[index], model.sublayer(index).linearLayers];
  if (state === undefined) {
    throw new Error('the model has no such sublayer');
  }
  const { rows } = await runTapped(step, state);
  const findLayer = (role: LinearRole): LinearLayer => {
    const found = layers.find((layer) => layer.role === role);
    if (found === undefined) {
      throw new Error(`there is no ${role}`);
    }
    return found;
  };
  const readRows = (role: LinearRole): Float32Array =>
    rows.get(findLayer(role).id) ?? new Float32Array();
  return {
    before: stream(index),
    after: stream(index + 1),
    layers,
    findLayer,
    readRows,
    rows,
    step,
  };
}

function added(before: Float32Array, branch: Float64Array): Float32Array {
  return before.map((h, i) => h + (branch[i] ?? Number.NaN));
}

describe('inputs of the linear layers of a sublayer', () => {
  it('are the intermediate values of a gated MLP', async () => {
    const model = await openModel(await makeRandomModel({ seed: 4, blocks: 2 }));
    const { before, after, findLayer, readRows } = await tapped(model, 3);
    const x = readRows('gate');
    expect(readRows('up')).toEqual(x);
    const [gate, up] = [await product(findLayer('gate'), x), await product(findLayer('up'), x)];
    const inner = Float32Array.from(gate, (g, i) => (g / (1 + Math.exp(-g))) * (up[i] ?? 0));
    expect(relativeError(readRows('down'), inner)).toBeLessThan(1e-6);
    const branch = await product(findLayer('down'), inner);
    expect(relativeError(after, added(before, branch))).toBeLessThan(1e-6);
  });

  it('is the context of attention, if one output of the graph is the input of three layers', async () => {
    const model = await openModel(await makeRandomModel({ seed: 5, blocks: 1 }));
    const { before, after, findLayer, readRows, step } = await tapped(model, 0);
    const branch = await product(findLayer('output'), readRows('output'));
    expect(relativeError(after, added(before, branch))).toBeLessThan(1e-6);
    const names = (['query', 'key', 'value'] as const).map((role) =>
      step.taps.get(findLayer(role).id),
    );
    expect(new Set(names).size).toBe(1);
    const { hiddenSize = 1 } = model.summary;
    const norms = Array.from({ length: ids.length }, (_, row) => {
      const part = before.slice(row * hiddenSize, (row + 1) * hiddenSize);
      return Math.sqrt(part.reduce((sum, h) => sum + h * h, 0) / hiddenSize + 1e-6);
    });
    // Divided by what the norm divides by, all rows have the same gain.
    const x = readRows('query');
    const gains = x.map(
      (value, i) => (value * (norms[Math.floor(i / hiddenSize)] ?? 1)) / (before[i] ?? 1),
    );
    for (let row = 1; row < ids.length; row++) {
      const own = gains.slice(row * hiddenSize, (row + 1) * hiddenSize);
      expect(relativeError(own, gains.slice(0, hiddenSize))).toBeLessThan(1e-4);
    }
  });

  it('is the transposed product of gpt2 with its bias', async () => {
    const model = await openModel(fixture('gpt2'));
    const { before, after, findLayer, readRows } = await tapped(model, 1);
    const branch = await product(findLayer('down'), readRows('down'));
    const { hiddenSize = 1 } = model.summary;
    const rest = after.map((h, i) => h - (before[i] ?? 0) - (branch[i] ?? 0));
    for (let row = 1; row < ids.length; row++) {
      const bias = rest.slice(row * hiddenSize, (row + 1) * hiddenSize);
      expect(relativeError(bias, rest.slice(0, hiddenSize))).toBeLessThan(1e-3);
    }
  });

  it('is of each expert the rows that are sent to it', async () => {
    const model = await openModel(
      await makeRandomModel({ seed: 6, blocks: 1, modelType: 'mixtral' }),
    );
    const { layers, rows, before } = await tapped(model, 1);
    const { hiddenSize = 1 } = model.summary;
    const gates = layers.filter(({ role }) => role === 'gate');
    expect(gates).toHaveLength(3);
    const sent = gates.flatMap(({ id }) => {
      const numbers = rows.get(id) ?? new Float32Array();
      return Array.from({ length: numbers.length / hiddenSize }, (_, row) =>
        numbers.slice(row * hiddenSize, (row + 1) * hiddenSize).join(),
      );
    });
    expect(sent).toHaveLength(2 * ids.length);
    const counts = new Map<string, number>();
    sent.forEach((row) => counts.set(row, (counts.get(row) ?? 0) + 1));
    expect([...counts.values()].every((count) => count % 2 === 0)).toBe(true);
    expect(before).toHaveLength(ids.length * hiddenSize);
  });
});
