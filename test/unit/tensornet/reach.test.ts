import { describe, expect, it } from 'vitest';
import {
  countedUnits,
  formatLimit,
  parseLimit,
} from '../../../extension/core/tensornet/budget/budget-limits';
import type { BudgetUnit } from '../../../extension/core/tensornet/budget/budget-limits';
import { costRanges } from '../../../extension/core/tensornet/budget/pareto-front';
import { planUnderBudget } from '../../../extension/core/tensornet/budget/plan-under-budget';
import type { RemovalCost } from '../../../extension/core/tensornet/budget/plan-under-budget';
import type { SensitivityProfile } from '../../../extension/core/tensornet/sensitivity/sensitivity-profile';
import { withSchemes } from '../../../extension/core/tensornet/sensitivity/schemes';
import { int8, makeLayer, lowRank, outside, makeTable } from '../webview/compression-fixture';

const times = { decodeMsPerToken: 1, prefillMsPerToken: 0.5 };
const narrowable = {
  ...{ sublayer: 'block.0.attention', of: 'groups' as const, count: 2 },
  entries: [{ kept: 1, remove: '1', distance: 0.1 }],
};

function smallestRatio(
  table: SensitivityProfile,
  unit: BudgetUnit = 'bytes',
  removable: readonly RemovalCost[] = [],
): number | undefined {
  return costRanges(table, undefined, removable).find((one) => one.unit === unit)?.least;
}

describe('minimum size of a model', () => {
  it('is counted in the units of the table', () => {
    expect(countedUnits(makeTable())).toEqual(['bytes', 'parameters', 'memory', 'flops']);
    const layers = makeTable().layers.map((layer) => ({ ...layer, ...times }));
    expect(countedUnits(makeTable({ layers }))).toEqual(
      expect.arrayContaining(['decode', 'prefill']),
    );
  });

  it('is as far as the settings that are allowed', () => {
    // 200 bytes, 80 of linear layers: 6 + 6 + 10 + 10 of them can be left.
    expect(smallestRatio(makeTable())).toBe(120 + 32);
    expect(smallestRatio(withSchemes(makeTable(), [{ method: 'int8' }]))).toBe(120 + 40);
    expect(smallestRatio(withSchemes(makeTable(), []))).toBe(200);
  });

  it('is larger if sublayers may be removed or width-pruned, with their keys and values', () => {
    const entry = { kept: 1, remove: '1', distance: 0.1 };
    const width = { sublayer: 'block.0.attention', of: 'groups', count: 2, entries: [entry] };
    const table = makeTable({ widths: [{ ...width, of: 'groups' }] });
    // Half of 10 bytes in int8 instead of 6 of a low rank.
    expect(smallestRatio(table)).toBe(120 + 6 + 5 + 10 + 10);
    // A quarter of the keys and values goes, 4 bytes each time: the model reads 16 tokens.
    expect(smallestRatio(table, 'memory')).toBe(151 + (2 * 16 * 4 * 3) / 4);
    const memory = costRanges(table, 4096, []).find(({ unit }) => unit === 'memory');
    expect(memory?.least).toBe(151 + (2 * 4096 * 4 * 3) / 4);
    const removable = [{ sublayer: 'block.1.attention', distance: 1 }];
    expect(smallestRatio(makeTable(), 'bytes', removable)).toBe(120 + 32 - 10);
  });

  it('includes embedding and head if they were measured', () => {
    // 40 bytes more that can be 10 + 10.
    expect(smallestRatio(makeTable({ embeddingAndHead: outside() }))).toBe(80 + 32 + 20);
    const { model } = makeTable();
    const sublayers = model.sublayers.reduce((sum, one) => sum + one.flopsPerToken, 0);
    // Two layers can save 6 of their 4 × 20 operations; the 20 of the head are counted, too.
    expect(smallestRatio(makeTable({ embeddingAndHead: outside() }), 'flops')).toBe(
      sublayers - 28 + 20,
    );
    expect(smallestRatio(makeTable(), 'flops')).toBe(sublayers - 28);
  });

  it('counts generated tokens and those of prompts apart', async () => {
    const compressions = [
      { ...int8(0.2), decodeMsPerToken: 0.9, prefillMsPerToken: 0.1 },
      { ...lowRank(2, 6, 0.1), decodeMsPerToken: 0.3, prefillMsPerToken: 0.45 },
    ];
    const table = makeTable({ layers: [{ ...makeLayer(0, 'down', compressions), ...times }] });
    expect([smallestRatio(table, 'decode'), smallestRatio(table, 'prefill')]).toEqual([0.3, 0.1]);
    const chosen = async (limit: string): Promise<string[]> => {
      const plan = await planUnderBudget(table, { limits: [parseLimit(limit)] });
      return plan.compress.map(({ method }) => method);
    };
    expect(await chosen('decode<0.5')).toEqual(['lowrank']);
    expect(await chosen('prefill<0.2')).toEqual(['int8']);
    await expect(chosen('prefill<0.05')).rejects.toFailWith({
      code: 'budget-not-reachable',
      field: 'limits',
    });
  });

  it('counts norms, attention itself and the start of a run, which encodings leave', () => {
    const smaller = { ...int8(0.2), decodeMsPerToken: 0.25, prefillMsPerToken: 0.1 };
    const layers = makeTable().layers.map((layer) => ({ ...layer, ...times, entries: [smaller] }));
    const changed = [
      { change: 'without', kind: 'attention', decodeMsPerToken: 5, prefillMsPerToken: 2 },
      { change: 'without', kind: 'feedforward', decodeMsPerToken: 8, prefillMsPerToken: 2 },
    ] as const;
    const runs = { whole: { decodeMsPerToken: 10, prefillMsPerToken: 3 }, changed };
    const reach = costRanges(makeTable({ layers, runs }), undefined, []);
    const decode = reach.find(({ unit }) => unit === 'decode');
    // 5 of 10 ms are for two attentions and 2 for two MLPs; 4 layers take 1 ms each, or 0.25.
    expect(decode).toMatchObject({ before: 10, least: 10 - 4 * 0.75 });
    const removal = { sublayer: 'block.1.attention', distance: 1 };
    expect(smallestRatio(makeTable({ layers, runs }), 'decode', [removal])).toBe(
      10 - 3 * 0.75 - 2.5,
    );
    // Half of an attention takes half of all that it does.
    const widths = [narrowable];
    expect(smallestRatio(makeTable({ layers, runs, widths }), 'decode')).toBe(
      10 - 3 * 0.75 - 1.625,
    );
    // Kinds that seem to take 13 ms of 10 take all of those.
    const measured = changed.map((one) => ({ ...one, decodeMsPerToken: 3.5 }));
    const every = makeTable().model.sublayers.map(({ id: sublayer }) => ({
      sublayer,
      distance: 1,
    }));
    const least = smallestRatio(
      makeTable({ layers, runs: { ...runs, changed: measured } }),
      'decode',
      every,
    );
    expect(least).toBeCloseTo(0, 10);
    // Without the head in the table it is among the rest.
    const head = outside().map((matrix) => ({ ...matrix, decodeMsPerToken: 1 }));
    const counted = costRanges(makeTable({ layers, runs, embeddingAndHead: head }), undefined, []);
    expect(counted.find(({ unit }) => unit === 'decode')?.before).toBe(10);
  });

  it('counts the savings of encodings and widths in full runs, regardless of the matmul times', () => {
    const smaller = [
      { ...int8(0.2), decodeMsPerToken: 0.9, prefillMsPerToken: 0.5 },
      { ...lowRank(2, 6, 0.1), decodeMsPerToken: 0.95, prefillMsPerToken: 0.5 },
    ];
    const layers = makeTable().layers.map((layer) => ({ ...layer, ...times, entries: smaller }));
    const runs = {
      whole: { decodeMsPerToken: 10, prefillMsPerToken: 3 },
      changed: [
        { change: 'without', kind: 'attention', decodeMsPerToken: 5, prefillMsPerToken: 2 },
        { change: 'without', kind: 'feedforward', decodeMsPerToken: 6, prefillMsPerToken: 2 },
        { change: 'compressed', as: 'int8:0', decodeMsPerToken: 6, prefillMsPerToken: 3 },
        { change: 'width-pruned', of: 'groups', decodeMsPerToken: 9.25, prefillMsPerToken: 3 },
      ],
    } as const;
    expect(smallestRatio(makeTable({ layers, runs }), 'decode')).toBeCloseTo(6, 10);
    // Half of an attention of 2.5 ms saves 0.75.
    const whole = layers.map((layer) => ({ ...layer, entries: [] }));
    const table = makeTable({ layers: whole, runs, widths: [narrowable] });
    expect(smallestRatio(table, 'decode')).toBeCloseTo(10 - 0.75, 10);
    // Times that can't be measured are computed from the matmuls.
    const others = layers.map((layer) => ({ ...layer, entries: smaller.slice(1) }));
    expect(smallestRatio(makeTable({ layers: others, runs }), 'decode')).toBeCloseTo(
      10 - 4 * 0.05,
      10,
    );
  });

  it('counts layers of blocks that a table lacks with their sublayers', () => {
    const layers = makeTable().layers.map((layer) => ({ ...layer, ...times, entries: [] }));
    const listed = layers.filter(({ sublayer }) => sublayer.startsWith('block.0.'));
    const changed = [
      { change: 'without', kind: 'attention', decodeMsPerToken: 6, prefillMsPerToken: 2 },
      { change: 'without', kind: 'feedforward', decodeMsPerToken: 15, prefillMsPerToken: 2 },
    ] as const;
    const runs = { whole: { decodeMsPerToken: 20, prefillMsPerToken: 3 }, changed };
    const table = makeTable({ layers: listed, runs });
    // Two attentions take 14 of 20 ms, whichever of them was measured.
    for (const sublayer of ['block.0.attention', 'block.1.attention']) {
      expect(smallestRatio(table, 'decode', [{ sublayer, distance: 1 }])).toBeCloseTo(13, 10);
    }
  });

  it('is known of a part of the layers too', () => {
    const layers = [{ ...makeLayer(0, 'down', [lowRank(2, 6, 0.1), int8(0.1)]), ...times }];
    const settings = { ...makeTable().settings, blocks: [0] };
    expect(smallestRatio(makeTable({ layers, settings }), 'decode')).toBe(0);
  });
});

describe('a limit', () => {
  it.each([
    { unit: 'bytes', ratio: 0.57 },
    { unit: 'memory', most: 123_456_789 },
    { unit: 'decode', most: 0.000_123 },
    { unit: 'flops', ratio: 0.000_001 },
  ] as const)('is read in its current state was written: %o', (limit) => {
    expect(parseLimit(formatLimit(limit))).toMatchObject(limit);
  });
});
