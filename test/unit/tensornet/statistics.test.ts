import { afterAll, describe, expect, it } from 'vitest';
import { openModel } from '../../../extension/core/models/open-model';
import { LayeredExecutor } from '../../../extension/core/runtime/layered-executor';
import { floatsIn, floatTensor } from '../../../extension/core/runtime/tensors';
import { MatrixProducts } from '../../../extension/core/linear-algebra/matrix-products';
import { CalibrationPass } from '../../../extension/core/tensornet/statistics/calibration-pass';
import type { InputStatistics } from '../../../extension/core/tensornet/statistics/statistics-accumulator';
import { StatisticsAccumulator } from '../../../extension/core/tensornet/statistics/statistics-accumulator';
import { fixture } from '../fixtures';
import { ggufFixture } from '../gguf-fixtures';
import { correlatedRows, randomRows, computeStatistics } from './matrices';

const products = new MatrixProducts('cpu', 0);
afterAll(async () => products.dispose());

function expectClose(actual: InputStatistics | undefined, expected: InputStatistics): void {
  expect(actual?.count).toBe(expected.count);
  const largest = Math.max(...expected.gram.numbers);
  const isClose = (x: number, i: number): boolean =>
    Math.abs((actual?.gram.numbers[i] ?? Number.NaN) - x) < 1e-12 * largest;
  expect(expected.gram.numbers.every(isClose)).toBe(true);
  expected.meanMagnitudes.forEach((x, i) => {
    expect(actual?.meanMagnitudes[i]).toBeCloseTo(x, 12);
  });
}

describe('statistics of inputs', () => {
  it('are those of all rows, for any batching, and are shared for shared inputs', async () => {
    const [attention, output] = [correlatedRows(2500, 9, 5, 1), randomRows(2500, 4, 2)];
    const accumulator = new StatisticsAccumulator(products);
    for (let start = 0; start < 2500; start += 500) {
      const part = ({ length, numbers }: typeof attention): ReturnType<typeof floatTensor> =>
        floatTensor(numbers.slice(start * length, (start + 500) * length), [500, length]);
      const shared = part(attention);
      await accumulator.add(
        new Map([
          ['q', shared],
          ['k', shared],
          ['o', part(output)],
        ]),
      );
    }
    const found = await accumulator.finish();
    expect([...found.keys()]).toEqual(['q', 'k', 'o']);
    expect(found.get('q')).toBe(found.get('k'));
    expectClose(found.get('q'), computeStatistics(attention));
    expectClose(found.get('o'), computeStatistics(output));
  });

  it('of wide inputs are computed in parts, with the same result', async () => {
    const rows = correlatedRows(64, 259, 40, 3);
    const accumulator = new StatisticsAccumulator(products);
    await accumulator.add(new Map([['down', floatTensor(rows.numbers, [64, 259])]]));
    expectClose((await accumulator.finish()).get('down'), computeStatistics(rows));
  });

  it('of a layer that nothing went into are zeros', async () => {
    const accumulator = new StatisticsAccumulator(products);
    await accumulator.add(new Map([['expert', floatTensor(new Float32Array(), [0, 6])]]));
    const statistics = (await accumulator.finish()).get('expert');
    expect(statistics?.count).toBe(0);
    expect(statistics?.gram.numbers.every((x) => x === 0)).toBe(true);
    expect([...(statistics?.meanMagnitudes ?? [])]).toEqual([0, 0, 0, 0, 0, 0]);
  });

  it('that are not finite are refused, naming the layer', async () => {
    const accumulator = new StatisticsAccumulator(products);
    await accumulator.add(new Map([['up', floatTensor(Float32Array.of(1, Number.NaN), [1, 2])]]));
    await expect(accumulator.finish()).rejects.toMatchObject({ subject: { field: 'up' } });
  });
});

describe('a calibration pass', () => {
  it('are collected from the inputs of the linear layers of each sublayer', async () => {
    const model = await openModel(fixture('llama-gqa-untied'));
    const inputs = [Int32Array.of(1, 2, 3, 4, 5), Int32Array.of(9, 8, 7, 6, 5)];
    const executor = new LayeredExecutor(model, 'cpu', 1 << 28);
    try {
      const whole = new CalibrationPass({ executor, products, inputs });
      const first = await whole.statistics(1);
      const last = await whole.statistics(3);
      const ids = (index: number): string[] =>
        model.sublayer(index).linearLayers.map(({ id }) => id);
      for (const [index, statistics] of [[1, first] as const, [3, last] as const]) {
        expect(ids(index).length).toBeGreaterThan(2);
        for (const id of ids(index)) {
          const own = await statistics.get(id);
          expect(own?.count).toBe(10);
          expect(Math.max(...(own?.meanMagnitudes ?? []))).toBeGreaterThan(0);
        }
      }
    } finally {
      await executor.dispose();
    }
  });

  it('continues with the observed run, if nothing is replaced', async () => {
    const model = await openModel(fixture('llama-gqa-untied'));
    const executor = new LayeredExecutor(model, 'cpu', 1 << 28);
    try {
      const setup = { executor, products, inputs: [Int32Array.of(1, 2, 3, 4, 5)] };
      const [twice, once] = [true, false].map(
        (replaces) => new CalibrationPass({ ...setup, replaces }),
      );
      const spent: number[] = [];
      for (const pass of [twice, once]) {
        const before = executor.evaluations;
        await pass?.statistics(0);
        await pass?.statistics(1);
        spent.push(executor.evaluations - before);
      }
      expect(spent).toEqual([3, 2]);
      expect(await once?.statistics(3)).toEqual(await twice?.statistics(3));
      await expect(once?.statistics(3)).rejects.toThrow('passed sublayer 3');
    } finally {
      await executor.dispose();
    }
  });

  it('sees replacements of an earlier sublayer', async () => {
    const model = await openModel(fixture('llama-gqa-untied'));
    const executor = new LayeredExecutor(model, 'cpu', 1 << 28);
    try {
      const inputs = [Int32Array.of(3, 1, 4, 1, 5)];
      const dense = new CalibrationPass({ executor, products, inputs });
      const replaced = new CalibrationPass({ executor, products, inputs });
      await replaced.replace(0, model.sublayer(0));
      expect(await replaced.statistics(1)).toEqual(await dense.statistics(1));
      const without = new CalibrationPass({ executor, products, inputs, removed: new Set([0]) });
      expect(await without.statistics(1)).not.toEqual(await dense.statistics(1));
      await expect(replaced.statistics(0)).rejects.toThrow('passed sublayer 0');
    } finally {
      await executor.dispose();
    }
  });
});

describe('a calibration pass beside the original model', () => {
  it('compares inputs and streams, for any grouping, and resumes with the same states', async () => {
    const model = await openModel(fixture('llama-gqa-untied'));
    const executor = new LayeredExecutor(model, 'cpu', 1 << 28);
    try {
      const inputs = [Int32Array.of(1, 2, 3, 4, 5), Int32Array.of(9, 8, 7)];
      // The model with other states before the first sublayer stands for the original.
      const others = [Int32Array.of(5, 4, 3, 2, 1), Int32Array.of(6, 5, 4)];
      const originals = await Promise.all(others.map(async (ids) => executor.embed(ids)));
      const setup = { executor, products, inputs, originals };
      const pass = new CalibrationPass(setup);
      const alone = new CalibrationPass({ executor, products, inputs });
      const [down, gate] = (['down', 'gate'] as const).map(
        (name) =>
          model.sublayer(1).linearLayers.find(({ role }) => role === name) ?? expect.fail(name),
      );
      const of = async (states: CalibrationPass, id = down?.id ?? ''): Promise<InputStatistics> =>
        (await (await states.statistics(1)).get(id)) ?? expect.fail(id);
      await pass.replace(0, model.sublayer(0));
      const own = await of(pass);
      expectClose(own, await of(alone));
      expect(own.shift?.inputs).toHaveLength((down?.in ?? 0) ** 2);
      expect(own.shift?.stream).toHaveLength((down?.in ?? 0) * (down?.out ?? 0));

      // Σ xᵀ·(x₀ − x) from the rows themselves.
      const rows: Float32Array[] = [];
      const streams: Float32Array[] = [];
      for (const ids of [...inputs, ...others]) {
        const [state] = await executor.run(0, [await executor.embed(ids)]);
        if (state === undefined) expect.fail();
        streams.push(floatsIn(state.values[model.sublayer(1).streamNames.before] ?? expect.fail()));
        await executor.tap(model.sublayer(1).tapped, [state], (taps) => {
          rows.push(floatsIn(taps.get(down?.id ?? '') ?? expect.fail()).slice());
          return Promise.resolve();
        });
      }
      const sumOf = (changes: readonly Float32Array[], width: number): number[] => {
        const size = down?.in ?? 0;
        const sums = new Float64Array(size * width);
        for (const [i, x] of rows.slice(0, 2).entries()) {
          const [from, to] = [changes[i] ?? x, changes[i + 2] ?? x];
          for (let row = 0; row < x.length / size; row++) {
            for (let at = 0; at < sums.length; at++) {
              const [input, column] = [Math.floor(at / width), at % width];
              const change = (to[row * width + column] ?? 0) - (from[row * width + column] ?? 0);
              sums[at] = (sums[at] ?? 0) + (x[row * size + input] ?? 0) * change;
            }
          }
        }
        return [...sums];
      };
      const expectSums = (found: Float32Array | undefined, sums: readonly number[]): void => {
        const largest = Math.max(...sums.map(Math.abs));
        expect(largest).toBeGreaterThan(0);
        sums.forEach((sum, i) => {
          expect(Math.abs((found?.[i] ?? Number.NaN) - sum)).toBeLessThan(1e-5 * largest);
        });
      };
      expectSums(own.shift?.inputs, sumOf(rows, down?.in ?? 0));
      expectSums(own.shift?.stream, sumOf(streams, down?.out ?? 0));

      const divided = new CalibrationPass({ ...setup, gramBytes: 1 });
      await divided.replace(0, model.sublayer(0));
      const statistics = await divided.statistics(1);
      expect((await statistics.get(gate?.id ?? ''))?.shift?.stream).toBeUndefined();
      expect((await statistics.get(down?.id ?? ''))?.shift).toEqual(own.shift);

      const resumed = new CalibrationPass(setup);
      await pass.replace(1, model.sublayer(1));
      for (const index of [0, 1]) await resumed.replace(index, model.sublayer(index));
      expect(await resumed.finalStates()).toEqual(await pass.finalStates());
    } finally {
      await executor.dispose();
    }
  });

  it('does not compare the inputs of experts', async () => {
    const model = await openModel(fixture('qwen3-moe'));
    const index = model.summary.sublayers.findIndex(({ kind }) => kind === 'expert');
    const executor = new LayeredExecutor(model, 'cpu', 1 << 28);
    try {
      const inputs = [Int32Array.of(1, 2, 3, 4, 5)];
      const originals = [await executor.embed(Int32Array.of(5, 4, 3, 2, 1))];
      const pass = new CalibrationPass({ executor, products, inputs, originals });
      const alone = new CalibrationPass({ executor, products, inputs });
      const found = await pass.statistics(index);
      const expected = await alone.statistics(index);
      for (const { id } of model.sublayer(index).linearLayers) {
        expect(await found.get(id)).toEqual(await expected.get(id));
      }
      const { originals: after } = await pass.finalStates();
      expect(after).toHaveLength(1);
      expect(after).not.toEqual((await alone.finalStates()).states);
    } finally {
      await executor.dispose();
    }
  });
});

describe('statistics of experts that do not fit together', () => {
  // With much memory a MoE layer is one session, else experts run one after the other.
  it.each([1e9, 1])('are collected in groups, with %d bytes of memory', async (memoryBytes) => {
    const model = await openModel(ggufFixture('qwen3moe.gguf'));
    const index = model.summary.sublayers.findIndex(({ kind }) => kind === 'expert');
    const inputs = [Int32Array.from({ length: 24 }, (_, i) => (i * 7) % 32)];
    const executor = new LayeredExecutor(model, 'cpu', memoryBytes);
    try {
      expect(executor.keepsSessions).toBe(memoryBytes === 1e9);
      for (const replaces of [true, false]) {
        const setup = { executor, products, inputs, replaces };
        const together = new CalibrationPass(setup);
        const whole = await together.statistics(index);
        const pass = new CalibrationPass({ ...setup, gramBytes: 1 });
        const divided = await pass.statistics(index);
        const ids = model.sublayer(index).linearLayers.map(({ id }) => id);
        let reached = 0;
        for (const id of [...ids, ...ids.slice(0, 3)]) {
          const expected = await whole.get(id);
          const found = await divided.get(id);
          reached += (found?.count ?? 0) > 0 ? 1 : 0;
          if (found === undefined) expect(expected?.count ?? 0).toBe(0);
          else expectClose(found, expected ?? found);
        }
        expect(reached).toBeGreaterThan(6);
        expect(await pass.finalStates()).toEqual(await together.finalStates());
      }
    } finally {
      await executor.dispose();
    }
  });
});
