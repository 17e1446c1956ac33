import { describe, expect, it } from 'vitest';
import { plannedSublayers } from '../../../extension/protocol/compression';
import type {
  BudgetChoice,
  CompressionState,
  MadePlan,
} from '../../../extension/protocol/compression';
import {
  choiceAt,
  formChoice,
  listContexts,
  countMatrices,
  countSchemes,
  initialForm,
  isPlanFor,
  leastBytes,
  leastPercent,
  withinReach,
  withLimit,
  withSet,
} from '../../../webview/compression/budget';
import { cellFacts, cellLabel } from '../../../webview/compression/cell-text';
import {
  buildCells,
  listShares,
  schemeKey,
  tableSchemes,
} from '../../../webview/compression/cells';
import { sorted } from '../../../webview/compression/rows';
import { withMeasured } from '../../../webview/compression/frame';
import type { Entry, Layer } from '../../../webview/compression/types';
import { savedView } from '../../../webview/compression/view-state';
import { viewFrom } from '../../../webview/kit/saved-view';
import { Store } from '../../../webview/kit/store';
import { int8, makeLayer, lowRank, outside, makeTable, tied } from './compression-fixture';
import { makeModel } from './heatmap-fixture';

function makePlan(changes: Partial<MadePlan['result']> = {}): MadePlan {
  return {
    limits: [{ unit: 'bytes', ratio: 0.5 }],
    context: 4096,
    schemes: [{ method: 'int8' }],
    removes: true,
    prunesWidths: false,
    embeddingAndHead: false,
    result: {
      compress: [
        { tensor: 'layers.0.down.weight', method: 'int8', setting: 0 },
        { tensor: 'layers.0.query.weight', method: 'lowrank', setting: 2, then: 'int4' },
      ],
      remove: ['block.1.attention'],
      widths: [],
      limits: [],
      cost: 90,
      costBefore: 200,
      sumOfDistances: 0.01,
      distance: 0.02,
      tried: [0.03, 0.02],
      ...changes,
    },
  };
}

describe('the cells of the compression panel', () => {
  it('are distinguished by method, variant and second method', () => {
    const table = makeTable();
    expect(tableSchemes(table).map(schemeKey)).toEqual(['int8', 'lowrank+int4']);
    expect(schemeKey({ method: 'int4', variant: 'gptq' })).toBe('int4:gptq');
    expect(listShares(table, 'lowrank+int4')).toEqual([60, 30]);
    expect(listShares(table, 'int8')).toEqual([50]);
  });

  it('show the setting closest to a share, and mark unmeasured layers', () => {
    const at = (share: number) =>
      buildCells(makeTable(), { kind: 'scheme', scheme: 'lowrank+int4', share }).cells.map(
        ({ status, entry }) => [status, entry?.setting],
      );
    expect(at(70)).toEqual([
      ['measured', 4],
      ['measured', 4],
      ['pending', undefined],
      ['pending', undefined],
    ]);
    expect(at(40).slice(0, 1)).toEqual([['measured', 2]]);
  });

  it('are in the rows of their linear layers, in the order of a block', () => {
    const twice = [
      makeLayer(0, 'down', []),
      makeLayer(0, 'down', [], '.b'),
      makeLayer(0, 'query', []),
    ];
    const { lines, cells } = buildCells(makeTable({ layers: twice }), {
      kind: 'scheme',
      scheme: 'int8',
      share: 50,
    });
    expect(lines).toEqual(['Query', 'Down', 'Down 2']);
    expect(cells.map(({ line }) => line)).toEqual(['Down', 'Down 2', 'Query']);
  });

  it('count perplexity from the original’s', () => {
    const { cells } = buildCells(makeTable({ original: 1e-4, metric: 'perplexity' }), {
      kind: 'scheme',
      scheme: 'int8',
      share: 50,
    });
    expect(cells.map(({ loss }) => loss)).toEqual([0, 0, 1e-4, 0]);
  });

  it('mark encodings that do not pay, by time if known, otherwise by FLOPs', () => {
    const big = { ...lowRank(9, 20, 0.1), flopsPerToken: 30 };
    const drawbacks = (layer: Partial<Layer>, entry: Partial<Entry>) =>
      buildCells(
        makeTable({ layers: [{ ...makeLayer(0, 'up', [{ ...big, ...entry }]), ...layer }] }),
        {
          kind: 'scheme',
          scheme: 'lowrank+int4',
          share: 50,
        },
      ).cells[0]?.drawbacks;
    expect(drawbacks({}, {})).toEqual(['bytes', 'flops']);
    expect(drawbacks({ decodeMsPerToken: 2 }, { decodeMsPerToken: 1, bytes: 19 })).toEqual([]);
    expect(drawbacks({ decodeMsPerToken: 2 }, { decodeMsPerToken: 3, bytes: 19 })).toEqual([
      'time',
    ]);
  });

  it('show the encoding of each layer in a plan', () => {
    const { cells } = buildCells(makeTable(), { kind: 'plan', plan: makePlan() });
    expect(cells.map(({ status, entry }) => [status, entry?.setting])).toEqual([
      ['measured', 0],
      ['measured', 2],
      ['kept', undefined],
      ['removed', undefined],
    ]);
    expect(cells.map(cellLabel)).toEqual([
      'Down, block 0: int8, per output, distance 1.00e-4, 20 B → 10 B',
      'Query, block 0: Low rank + int4, rank 2, distance 0.01, 20 B → 6 B',
      'Down, block 1: left unchanged by the plan',
      'Query, block 1: removed by the plan with its sublayer',
    ]);
  });

  it('show times only if there are any', () => {
    const [cell] = buildCells(makeTable(), { kind: 'scheme', scheme: 'int8', share: 50 }).cells;
    expect(cell).toBeDefined();
    const facts = Object.fromEntries(
      (cell === undefined ? [] : cellFacts(cell, 'js')).map(({ name, value }) => [name, value]),
    );
    expect(facts).toMatchObject({
      Shape: '2 × 5',
      Distance: '1.00e-4, very small',
      'Error of its outputs': '–',
      Size: '20 B → 10 B',
      'Time per generated token': 'not measured',
      'Time per prompt token': 'not measured',
    });
    const rough =
      cell?.entry && cellFacts({ ...cell, entry: { ...cell.entry, standardError: 2e-5 } }, 'js');
    expect(rough?.find(({ name }) => name === 'Distance')?.value).toBe(
      '1.00e-4 ± 2.00e-5, very small',
    );
  });

  it('have those of embedding and head before the first block and after the last', () => {
    const scheme = { kind: 'scheme', scheme: 'int8', share: 50 } as const;
    const { cells, lines, scale } = buildCells(makeTable({ embeddingAndHead: outside() }), scheme);
    expect(lines).toEqual(['Embedding', 'Query', 'Down', 'Head']);
    const [embedding, head] = cells.slice(-2);
    expect([embedding?.block, embedding?.line, embedding?.status]).toEqual([
      ...[0, 'Embedding', 'measured'],
    ]);
    expect([head?.block, head?.line]).toEqual([1, 'Head']);
    expect(head && cellLabel(head)).toMatch(/^Head: int8, per output, distance 1/);
    expect(scale?.position(1)).toBe(1);
    expect(sorted(cells, { key: 'block', descending: true }).slice(-2)).toEqual([embedding, head]);
    expect(buildCells(makeTable({ embeddingAndHead: [tied()] }), scheme).lines).toEqual([
      ...['Embedding, head', 'Query', 'Down'],
    ]);
    const lowRank = { ...scheme, scheme: 'lowrank+int4' };
    const [pending] = buildCells(makeTable({ embeddingAndHead: outside() }), lowRank).cells.slice(
      -2,
    );
    expect(pending?.status).toBe('pending');
  });

  it('show how a tensor network runs', () => {
    const entry: Entry = { ...int8(1e-4), method: 'mpo', setting: 4, mpoRun: 'contracted' };
    const table = makeTable({ layers: [makeLayer(0, 'down', [entry])] });
    const [cell] = buildCells(table, { kind: 'scheme', scheme: 'mpo', share: 50 }).cells;
    expect(cell === undefined ? [] : cellFacts(cell, 'js')).toContainEqual({
      name: 'Runs faster',
      value: 'as one matrix, multiplied out on loading',
    });
  });
});

describe('the rows of the table', () => {
  it('are sorted by a column, those without a value last either way', () => {
    const { cells } = buildCells(makeTable(), {
      kind: 'scheme',
      scheme: 'lowrank+int4',
      share: 30,
    });
    const order = (key: 'loss' | 'tensor', descending: boolean) =>
      sorted(cells, { key, descending }).map(({ block, line }) => `${block} ${line.toLowerCase()}`);
    expect(order('tensor', true)).toEqual(['1 query', '1 down', '0 query', '0 down']);
    for (const descending of [true, false]) {
      expect(order('loss', descending).slice(2)).toEqual(['1 down', '1 query']);
    }
  });
});

describe('a budget', () => {
  const known = {
    table: makeTable(),
    schemes: tableSchemes(makeTable()),
    units: ['bytes', 'parameters', 'memory'],
    removable: 0,
  } as const;
  const set = { isSet: true, percent: 40 };

  it('sends all set limits, and only allowed changes', () => {
    const form = { ...withLimit(initialForm, 'memory', set), without: ['int8'], context: 8192 };
    expect(formChoice(form, known)).toEqual({
      limits: [
        { unit: 'bytes', ratio: 0.5 },
        { unit: 'memory', ratio: 0.4 },
      ],
      context: 16,
      schemes: [{ method: 'lowrank', then: 'int4' }],
      removes: false,
      prunesWidths: false,
      embeddingAndHead: false,
    });
    const { maxPositions: _, ...endless } = known.table.model;
    expect(formChoice(form, { ...known, table: { ...known.table, model: endless } })?.context).toBe(
      8192,
    );
    const embeddingAndHead = makeTable({ embeddingAndHead: outside() });
    expect(formChoice(form, { ...known, table: embeddingAndHead })?.embeddingAndHead).toBe(true);
    expect(formChoice({ ...form, removes: true }, { ...known, removable: 2 })?.removes).toBe(true);
  });

  it('counts memory at no more tokens than the model reads', () => {
    const reading = (maxPositions: number) =>
      listContexts({ ...known.table, model: { ...known.table.model, maxPositions } });
    expect(reading(512)).toEqual([512]);
    expect(reading(8192)).toEqual([1024, 4096, 8192]);
    expect(reading(200_000)).toEqual([1024, 4096, 8192, 32_768, 131_072]);
  });

  it('sends nothing without an active limit, or without allowed changes', () => {
    const off = withLimit(initialForm, 'bytes', { isSet: false });
    expect(formChoice(off, known)).toBeUndefined();
    expect(formChoice(withLimit(off, 'flops', set), known)).toBeUndefined();
    const without = known.schemes.map(schemeKey);
    expect(formChoice({ ...initialForm, without }, known)).toBeUndefined();
    const removing = { ...initialForm, without, removes: true };
    expect(formChoice(removing, { ...known, removable: 1 })?.schemes).toEqual([]);
  });

  it('has the minimum that the host reports', () => {
    const reach = [{ unit: 'bytes', before: 200, least: 151 }] as const;
    expect(leastPercent('bytes', reach)).toBe(76);
    expect(leastPercent('memory', reach)).toBe(1);
    const choice = formChoice(withLimit(initialForm, 'memory', set), known);
    if (choice === undefined) throw new Error('no choice');
    expect(withinReach(choice, reach).limits).toEqual([
      { unit: 'bytes', ratio: 0.76 },
      { unit: 'memory', ratio: 0.4 },
    ]);
    expect(withinReach(choice)).toEqual(choice);
    const { bytes } = withSet(initialForm, 'bytes', true, reach).limits;
    expect(bytes).toEqual({ isSet: true, percent: 88 });
    expect(withSet(initialForm, 'memory', true, reach).limits.memory.percent).toBe(50);
    expect(withSet(initialForm, 'bytes', false, reach).limits.bytes).toEqual({
      isSet: false,
      percent: 50,
    });
    expect(withinReach(choiceAt(choice, 120), reach).limits[0]).toEqual({
      unit: 'bytes',
      most: 120,
    });
  });

  it('uses the size of a point and keeps its other limits', () => {
    const choice = formChoice(withLimit(initialForm, 'memory', set), known);
    if (choice === undefined) throw new Error('no choice');
    expect(choiceAt(choice, 120.5).limits).toEqual([
      { unit: 'bytes', most: 121 },
      { unit: 'memory', ratio: 0.4 },
    ]);
  });

  it('recognizes a plan that was made for it, by share or by amount', () => {
    const plan = makePlan({ limits: [{ unit: 'bytes', cost: 90, before: 200, most: 100 }] });
    const { result: _, ...choice } = plan;
    const isFor = (asked: BudgetChoice) => isPlanFor(plan, asked, makeTable());
    expect(isFor(choice)).toBe(true);
    expect(isFor({ ...choice, limits: [{ unit: 'bytes', most: 101 }] })).toBe(true);
    expect(isFor({ ...choice, limits: [{ unit: 'bytes', ratio: 0.6 }] })).toBe(false);
    expect(isFor({ ...choice, removes: false })).toBe(false);
    // A job that measured the plan tells neither a context nor what the table lacks.
    expect(
      isFor({ ...choice, context: undefined, prunesWidths: true, embeddingAndHead: true }),
    ).toBe(true);
  });

  it('shows the size of the model for each scheme', () => {
    const table = makeTable();
    const [first, second] = tableSchemes(table).map((scheme) => leastBytes(table, scheme));
    // Layers of 20 bytes: four become 10, or two become 6.
    expect(first).toBe(table.model.bytes - 4 * 10);
    expect(second).toBe(table.model.bytes - 2 * 14);
  });

  it('receives all linear layers of the plan', () => {
    const embeddingAndHead = { ...makePlan(), embeddingAndHead: true };
    expect(countMatrices(embeddingAndHead, makeTable({ embeddingAndHead: outside() }))).toBe(6);
    expect(countMatrices(embeddingAndHead, makeTable({ embeddingAndHead: [tied()] }))).toBe(6);
    expect(countMatrices(makePlan(), makeTable({ embeddingAndHead: outside() }))).toBe(4);
  });

  it('counts the layers of each scheme', () => {
    expect(countSchemes(makePlan()).map(({ scheme, count }) => [schemeKey(scheme), count])).toEqual(
      [
        ['int8', 1],
        ['lowrank+int4', 1],
      ],
    );
  });
});

describe('messages from the host', () => {
  const restore = { model: '/models/tiny' };
  const state: CompressionState = {
    model: makeModel(2),
    file: '/models/tiny.sensitivity.json',
    table: makeTable(),
    measured: {},
    findings: [],
    job: { kind: 'idle' },
    plan: makePlan(),
    scores: undefined,
    removable: 0,
    units: ['bytes'],
    types: [],
    canPlan: true,
    pruned: [],
    warnings: 'old',
    blocked: undefined,
  };

  it('is not there before the state', () => {
    const store = new Store<CompressionState>();
    expect(store.loaded.value).toBe(false);
    store.receive({ type: 'state', state, restore });
    expect(store.loaded.value).toBe(true);
    expect(store.get('plan')).toBe(state.plan);
    expect(store.restore).toEqual(restore);
  });

  it('replaces and clears fields', () => {
    const store = new Store<CompressionState>();
    store.receive({ type: 'state', state, restore });
    store.receive({
      ...{ type: 'patch', restore, added: {} },
      patch: { removable: 3 },
      cleared: ['plan', 'warnings'],
    });
    expect(store.get('removable')).toBe(3);
    expect(store.get('plan')).toBeUndefined();
    expect(store.get('warnings')).toBeUndefined();
    expect(store.get('table')).toBe(state.table);
  });

  it('replaces layers that were measured further', () => {
    const layer = makeLayer(1, 'down', [int8(0.5)]);
    const store = new Store<CompressionState>();
    store.receive({ type: 'state', state: { ...state, measured: { other: [] } }, restore });
    const added = { measured: { [layer.tensor]: layer.entries } };
    store.receive({ ...{ type: 'patch', restore, patch: {}, cleared: [] }, added });
    expect(store.get('measured')).toEqual({ other: [], [layer.tensor]: layer.entries });
    const next = withMeasured(makeTable(), store.get('measured'));
    expect(next.layers[2]).toEqual(layer);
    expect(next.layers[1]).toEqual(makeTable().layers[1]);
  });

  it('replaces embedding and head too', () => {
    const [embedding, head] = outside();
    const before = makeTable({ embeddingAndHead: [embedding, { ...head, entries: [] }] });
    const next = withMeasured(before, { [head.tensor]: head.entries });
    expect(next.embeddingAndHead).toEqual([embedding, head]);
    expect(next.layers).toEqual(before.layers);
  });
});

describe('the view of the compression panel', () => {
  it('is restored', () => {
    const view = {
      shown: 'mpo',
      share: 20,
      sort: { key: 'error', descending: false },
      form: {
        ...withLimit(initialForm, 'flops', { isSet: true, percent: 40 }),
        ...{
          context: 8192,
          without: ['int8'],
          removes: true,
          prunesWidths: false,
          embeddingAndHead: false,
        },
      },
    };
    const saved: unknown = JSON.parse(JSON.stringify({ model: '/m', file: '/f', view }));
    expect(viewFrom(savedView, saved)).toEqual(view);
  });

  it('falls back to defaults if invalid', () => {
    const fallback = viewFrom(savedView, undefined);
    expect(fallback.form).toEqual(initialForm);
    expect(
      viewFrom(savedView, {
        view: { share: 'x', sort: { key: 'y' }, form: { limits: { bytes: 'z' }, without: 1 } },
      }),
    ).toEqual(fallback);
  });
});

describe('removals of a plan', () => {
  it('counts a MoE layer with fewer experts as width-pruned', () => {
    const widths = [{ sublayer: 'block.0.attention', remove: '1' }];
    const remove = [
      'block.1.attention',
      'block.2.expert.0',
      'block.2.expert.3',
      'block.3.expert.3',
    ];
    expect(plannedSublayers({ remove, widths })).toEqual({ removed: 1, widthPruned: 3 });
  });
});
