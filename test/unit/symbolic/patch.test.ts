import { describe, expect, it } from 'vitest';
import { standardNormal, seededRandom } from '../../../extension/core/data/random';
import { unattended } from '../../../extension/core/jobs/job';
import { MatrixProducts } from '../../../extension/core/linear-algebra/matrix-products';
import type { Rows } from '../../../extension/core/linear-algebra/matrix-source';
import { ridge } from '../../../extension/core/linear-algebra/ridge';
import { patchTensorShapes } from '../../../extension/core/models/patch/symbolic-patch';
import { floatsIn, floatTensor } from '../../../extension/core/runtime/tensors';
import {
  branchModel,
  runBranch,
  fitBranch,
} from '../../../extension/core/symbolic/patch/fit-branch';
import {
  createContestants,
  contestantLayers,
} from '../../../extension/core/symbolic/patch/contestants';
import type { Contestant } from '../../../extension/core/symbolic/patch/contestants';
import { findGraphs, patchLibrary } from '../../../extension/core/symbolic/patch/compete';
import { evaluateProgram, Machine } from '../../../extension/core/symbolic/evaluation/machine';
import { initialLibrary } from '../../../extension/core/symbolic/language/library';
import { parseProgram } from '../../../extension/core/symbolic/language/parse-term';

const hidden = 16;
const pause = async (): Promise<void> => Promise.resolve();
const products = (): MatrixProducts => new MatrixProducts('cpu', 1 << 28);

function randomRows(count: number, length: number, seed: number): Rows {
  const random = seededRandom(seed);
  const numbers = Float32Array.from({ length: count * length }, () => standardNormal(random));
  return { count, length, numbers };
}

/** |x| of each number: a linear map can only fit its mean. */
const bent = (rows: Rows): Rows => ({ ...rows, numbers: rows.numbers.map(Math.abs) });

const makeData = (count: number, seed: number) => {
  const features = randomRows(count, hidden, seed);
  return { features, targets: bent(features) };
};
const data = { train: makeData(1024, 1), validation: makeData(256, 2) };

const found = findGraphs(patchLibrary(), { graphs: 4, programs: 2000 }, unattended);

async function contestants(): Promise<Contestant[]> {
  return createContestants(await found, 7);
}

const findKind = (all: readonly Contestant[], kind: Contestant['kind']): Contestant => {
  const one = all.find((contestant) => contestant.kind === kind);
  if (one === undefined) {
    throw new Error(`no ${kind}`);
  }
  return one;
};

describe('ridge regression', () => {
  it('finds a linear map with its offset', async () => {
    const [train, heldOut] = [randomRows(400, 5, 3), randomRows(100, 5, 4)].map((features) => {
      const numbers = new Float32Array(features.count * 2);
      for (let row = 0; row < features.count; row++) {
        const x = features.numbers.subarray(row * 5, row * 5 + 5);
        numbers[2 * row] = 3 + 2 * (x[0] ?? 0) - (x[4] ?? 0);
        numbers[2 * row + 1] = -1 + 0.5 * (x[2] ?? 0);
      }
      return { features, targets: { count: features.count, length: 2, numbers } };
    });
    if (train === undefined || heldOut === undefined) {
      throw new Error('two sets');
    }
    const used = products();
    const { weight, bias, penalty } = await ridge(used, train, heldOut);
    await used.dispose();
    expect([...weight].map((w) => Math.round(w * 1e4) / 1e4 + 0)).toEqual([
      2, 0, 0, 0, -1, 0, 0, 0.5, 0, 0,
    ]);
    expect(bias[0]).toBeCloseTo(3, 4);
    expect(bias[1]).toBeCloseTo(-1, 4);
    expect(penalty).toBe(1e-9);
  });

  it('uses a larger penalty for few and noisy examples, and is never worse than no patch', async () => {
    const noisy = (count: number, seed: number) => ({
      features: randomRows(count, 30, seed),
      targets: randomRows(count, 1, seed + 100),
    });
    const used = products();
    const heldOutText = noisy(200, 6);
    const { penalty, weight, bias } = await ridge(used, noisy(32, 5), heldOutText);
    await used.dispose();
    expect(penalty).toBeGreaterThanOrEqual(1e-2);
    let [error, nothing] = [0, 0];
    heldOutText.targets.numbers.forEach((y, row) => {
      const x = heldOutText.features.numbers.subarray(30 * row, 30 * row + 30);
      error += (x.reduce((sum, one, i) => sum + one * (weight[i] ?? 0), bias[0] ?? 0) - y) ** 2;
      nothing += y * y;
    });
    expect(error).toBeLessThanOrEqual(nothing);
  });
});

describe('contestants', () => {
  it('find graphs that programs of primitives alone can build', async () => {
    const graphs = await found;
    expect(graphs).toHaveLength(4);
    const library = initialLibrary();
    for (const { program, graph } of graphs) {
      expect(evaluateProgram(parseProgram(program, library), new Machine(library))).toEqual(graph);
    }
  });

  it.each([16, 192, 576, 2048])(
    'have parameters within 2 %% of the patch for a stream of %i',
    async (hiddenSize) => {
      const all = await contestants();
      const count = (one: Contestant): number =>
        branchModel(contestantLayers(one, hiddenSize), hiddenSize, 0).parameters.reduce(
          (sum, { shape }) => sum + shape.reduce((product, n) => product * n, 1),
          0,
        );
      const budget = count(findKind(all, 'graph'));
      const stored = Object.values(patchTensorShapes(hiddenSize));
      expect(budget).toBe(
        stored.reduce((sum, shape) => sum + shape.reduce((product, n) => product * n, 1), 0),
      );
      for (const kind of ['low-rank', 'mlp', 'random-graph'] as const) {
        expect(Math.abs(count(findKind(all, kind)) / budget - 1)).toBeLessThan(0.02);
      }
      expect(all.filter(({ kind }) => kind === 'mlp')).toHaveLength(4);
    },
  );

  it('have random graphs with the same number of nodes and edges', async () => {
    const all = await contestants();
    const sizes = (kind: Contestant['kind']): string[] =>
      all
        .filter((one) => one.kind === kind)
        .map(({ graph }) => `${graph?.nodes.length ?? 0} ${graph?.edges.length ?? 0}`);
    expect(sizes('random-graph')).toEqual(sizes('graph'));
  });
});

describe('a branch', () => {
  it('adds nothing if its last layer is zero', async () => {
    const one = findKind(await contestants(), 'graph');
    const model = branchModel(contestantLayers(one, hidden), hidden, one.seed);
    const drawn = await model.initial();
    const zero = Object.fromEntries(
      Object.entries(drawn).map(([name, tensor]) => [
        name,
        name.startsWith('up.') ? floatTensor(new Float32Array(tensor.size), tensor.dims) : tensor,
      ]),
    );
    const given = await runBranch(model, zero, data.validation.features, pause);
    expect(given.numbers.every((x) => x === 0)).toBe(true);
  });

  it.each(['graph', 'mlp', 'low-rank', 'random-graph', 'ridge'] as const)(
    'of the kind %s is fitted below the error of adding nothing, the same each time',
    async (kind) => {
      const one = findKind(await contestants(), kind);
      const used = products();
      const fit = async () =>
        fitBranch(one, data, { epochs: 6, batch: 64, rate: 1e-3 }, used, unattended.cancellation);
      const { record, tensors } = await fit();
      expect(record.error).toBeLessThan(1);
      expect(record.ridgeError).toBeLessThan(1);
      expect(record.error).toBeLessThanOrEqual(record.ridgeError);
      // Recorded values equal the computed ones.
      const model = branchModel(contestantLayers(one, hidden), hidden, one.seed);
      const given = await runBranch(model, tensors, data.validation.features, pause);
      const { numbers } = data.validation.targets;
      const [difference, whole] = numbers.reduce(
        ([sum, all], y, i): [number, number] => [
          sum + ((given.numbers[i] ?? 0) - y) ** 2,
          all + y * y,
        ],
        [0, 0] as [number, number],
      );
      expect(difference / whole).toBeCloseTo(record.error, 5);
      const again = await fit();
      await used.dispose();
      expect(again.record).toEqual(record);
      for (const [name, tensor] of Object.entries(again.tensors)) {
        const before = tensors[name];
        expect(before === undefined ? undefined : floatsIn(before)).toEqual(floatsIn(tensor));
      }
    },
  );

  it('that bends follows a bent target more closely than a linear one', async () => {
    const used = products();
    const errors: Record<string, number> = {};
    for (const kind of ['graph', 'ridge'] as const) {
      const settings = { epochs: 20, batch: 32, rate: 1e-3 };
      const one = findKind(await contestants(), kind);
      const { record } = await fitBranch(one, data, settings, used, unattended.cancellation);
      errors[kind] = record.error;
    }
    await used.dispose();
    expect(errors['graph']).toBeLessThan(0.7 * (errors['ridge'] ?? 0));
  });
});
