import { describe, expect, it } from 'vitest';
import { cellFacts, cellLabel, cellTooltip } from '../../../webview/heatmap/cell-text';
import { buildCells, lostPlaces } from '../../../webview/heatmap/cells';
import { formatPercent } from '../../../webview/format';
import { knownColumns } from '../../../webview/heatmap/columns';
import { sumSelection } from '../../../webview/heatmap/selection';
import { unitName } from '../../../webview/heatmap/units';
import { everything, selectRows } from '../../../webview/heatmap/candidate-rows';
import { makeMoeModel, makeModel, readProfile, makeRounds, makeState } from './heatmap-fixture';

describe('cells', () => {
  it('wait without a profile, and carry the marks all the same', () => {
    const { cells, distances } = buildCells(
      makeState({ removed: ['block.1.attention'], protectedIds: ['block.0'] }),
    );
    expect(distances).toBeUndefined();
    expect(cells.map(({ status }) => status)).toEqual(Array(6).fill('pending'));
    expect(cells.map(({ mark }) => mark)).toEqual([
      'protected',
      'protected',
      'removed',
      'keep',
      'keep',
      'keep',
    ]);
  });

  it('are numbered by round if one removes a whole block, and separately otherwise', () => {
    const profile = readProfile({ rounds: makeRounds('block.1', 'block.0') });
    const removed = ['block.1', 'block.0', 'block.2.feedforward'];
    const { cells } = buildCells(makeState({ profile, removed }));
    expect(cells.map(({ order }) => order)).toEqual([2, 2, 1, 1, undefined, 3]);
  });

  it('leave out sublayers that are already removed, at their known positions', () => {
    const model = { ...makeState({}).model, absent: ['block.3.attention', 'block.4.convolution'] };
    expect(lostPlaces(model)).toEqual([{ block: 3, line: unitName({ kind: 'attention' }) }]);
    expect(lostPlaces(makeState({}).model)).toEqual([]);
  });

  it('show the drift of hidden states, in color if selected', () => {
    const worst = { window: 0, position: 7, token: ' fox', relativeError: 0.4 };
    const at = (sublayer: string, relativeError: number) => ({
      ...{ sublayer, removed: false, relativeError, cosine: 0.9 },
      worst: relativeError === 0 ? { ...worst, relativeError } : worst,
    });
    const drift = {
      positions: 512,
      limit: 0.1,
      sublayers: [at('block.0.attention', 0), at('block.0.feedforward', 0.1)],
    };
    const profile = readProfile({
      candidates: [{ sublayer: 'block.0.attention', distance: 0.5 }],
    });
    const state = makeState({ profile, drift });
    const plain = buildCells(state);
    const colored = buildCells({ ...state, colors: 'drift' });
    expect(plain.column).toBeUndefined();
    expect(colored.byId.get('block.0.attention')).toMatchObject({ position: 0, distance: 0.5 });
    const cell = colored.byId.get('block.0.feedforward');
    expect(cell).toMatchObject({
      status: 'measured',
      shown: expect.stringMatching(/^10\.0\s%$/) as unknown,
    });
    expect(plain.byId.get('block.0.feedforward')?.status).toBe('pending');
    expect(colored.byId.get('block.2.attention')?.status).toBe('pending');
    const facts = new Map(cell && cellFacts(cell, 'js').map(({ name, value }) => [name, value]));
    expect(facts.get('Drift')).toMatch(/^10\.0\s%, cosine 0\.900$/);
    expect(facts.get('Largest drift')).toMatch(/^40\.0\s% at " fox", token 7$/);
    expect(cell && cellLabel(cell)).toMatch(/Drift: 10\.0\s%/);
  });

  it('show the kept share of a width-pruned sublayer, unless it is removed', () => {
    const id = 'block.1.feedforward';
    const widthPruned = {
      [id]: {
        ...{ of: 'channels' as const, kept: 3, count: 4 },
        ...{ parameters: 24, bytes: 48, flopsPerToken: 48, kvBytesPerToken: 0 },
      },
      'block.0.attention': {
        ...{ of: 'groups' as const, kept: 1, count: 2 },
        ...{ parameters: 5, bytes: 10, flopsPerToken: 10, kvBytesPerToken: 2 },
      },
    };
    const { cells, byId } = buildCells(makeState({ widthPruned }));
    const cell = byId.get(id);
    expect(cell && cellLabel(cell)).toMatch(/width 3 of 4 channels \(75\.0\s%\)/);
    expect(cell && cellTooltip(cell)).toMatch(/^width 3 of 4 channels/);
    const facts = new Map(cell && cellFacts(cell, 'js').map(({ name, value }) => [name, value]));
    expect(facts.get('Width')).toMatch(/^3 of 4 channels/);
    expect(facts.get('Parameters')).toBe('30 → 24');
    expect(facts.get('KV cache per token')).toBe('0 B');
    const heads = byId.get('block.0.attention');
    expect(heads && cellLabel(heads)).toContain('1 of 2 key/value heads');
    const sorted = selectRows(cells, everything, { key: 'width', descending: false });
    expect(sorted.slice(0, 2)).toEqual([heads, cell]);

    const model = makeModel(3);
    const totals = sumSelection([], model, widthPruned);
    expect(totals).toMatchObject({ sublayers: 0, widthPruned: 2, parameters: 11, bytes: 22 });
    expect(totals.memory).toBe(22 + 16 * 2);
    expect(totals.shares.memory).toBeCloseTo((22 + 16 * 2) / (280 + 16 * 12));
    const without = buildCells(makeState({ widthPruned, removed: [id] }));
    expect(without.byId.get(id)?.widthPruned).toBeUndefined();
    // Removed, it goes as a whole.
    expect(sumSelection([id], model, widthPruned)).toMatchObject({
      widthPruned: 1,
      parameters: 35,
    });
  });

  it('mark ranks that depend on the text', () => {
    const profile = readProfile({
      candidates: [{ sublayer: 'block.0.attention', distance: 0.5 }],
      stability: {
        texts: [
          { name: 'a.txt', tokens: 64 },
          { name: 'b.txt', tokens: 64 },
        ],
        ...{ correlation: 0.6, least: 0.6, rounds: [] },
        candidates: [
          {
            ...{ sublayer: 'block.0.attention', distances: [0.5, 0.1] },
            ...{ places: [1, 4], dependsOnText: true },
          },
        ],
      },
    });
    const [cell, other] = buildCells(makeState({ profile })).cells;
    const facts = new Map(cell && cellFacts(cell, 'js').map(({ name, value }) => [name, value]));
    expect(facts.get('Rank by text')).toBe('1 to 4, depends on the text');
    expect(cell && cellLabel(cell)).toMatch(/depends on the text/);
    expect(other?.stability).toBeUndefined();
  });

  it('show the preview until the distance arrives, and rank the arrived ones', () => {
    const profile = readProfile({
      candidates: [
        { sublayer: 'block.0.attention', distance: 0.5 },
        { sublayer: 'block.1.attention', distance: 0.01 },
        { sublayer: 'block.2.attention', distance: null, atLeast: 0.2 },
      ],
      cosineLocal: [
        { sublayer: 'block.0.attention', distance: 0.3 },
        { sublayer: 'block.2.feedforward', distance: 0.1 },
      ],
    });
    const { byId, distances } = buildCells(makeState({ profile }));
    expect(distances).toMatchObject({ min: 0.01, max: 0.5 });
    expect(byId.get('block.0.attention')).toMatchObject({
      status: 'measured',
      rank: 2,
      ranked: 2,
      preview: 0.3,
    });
    expect(byId.get('block.1.attention')).toMatchObject({ rank: 1 });
    expect(byId.get('block.2.attention')).toMatchObject({ status: 'measured', atLeast: 0.2 });
    expect(byId.get('block.2.attention')?.rank).toBeUndefined();
    expect(byId.get('block.2.feedforward')).toMatchObject({ status: 'preview', preview: 0.1 });
    expect(byId.get('block.1.feedforward')).toMatchObject({ status: 'pending' });
  });

  it('are single experts if a search or a selection is about them', () => {
    const model = makeMoeModel(2);
    expect(buildCells(makeState({ model })).cells).toHaveLength(4);
    const removed = ['block.1.expert.2', 'block.0.expert.0', 'block.0.expert'];
    expect(buildCells(makeState({ model, removed })).byId.get('block.1.expert.2')).toMatchObject({
      mark: 'removed',
      order: 1,
      status: 'excluded',
    });
    // A removed expert of an MoE layer is not counted twice.
    expect(sumSelection(removed, model, {})).toMatchObject({
      sublayers: 1,
      experts: 1,
      parameters: 35,
    });
    const profile = readProfile({
      settings: { ...readProfile().settings, granularity: 'expert' },
      candidates: [{ sublayer: 'block.0.expert.3', distance: 0.5 }],
    });
    const { byId } = buildCells(makeState({ model, profile }));
    expect(byId.size).toBe(12);
    expect(byId.get('block.0.expert.3')).toMatchObject({ status: 'measured', distance: 0.5 });
    expect(byId.get('block.1.expert.0')?.status).toBe('pending');
    expect(byId.get('block.0.expert')?.status).toBe('excluded');
    const cell = byId.get('block.0.expert.3');
    expect(cell && cellLabel(cell)).toMatch(/^Expert 3, block 0: kept/);
  });

  it('show the saliency of experts, their share of each text, and the number kept per layer', () => {
    const model = makeMoeModel(2);
    const values = (value: number) => ({ 'block.0.expert.1': value, 'block.0.expert.2': 0 });
    const measurements = {
      saliency: values(2),
      tokens: values(0.25),
      'tokens:/texts/prose.txt': values(0.5),
      'tokens:/texts/code.txt': values(0),
    };
    const colors = 'tokens:/texts/prose.txt';
    const removed = ['block.0.expert.2', 'block.0.expert.3'];
    const set = buildCells({ ...makeState({ model, measurements, removed }), colors });
    expect(set.column?.title).toBe('Share of tokens in prose.txt');
    expect(knownColumns(set.cells).map(({ title }) => title)).toEqual([
      'Saliency',
      'Share of tokens',
      'Share of tokens in prose.txt',
      'Share of tokens in code.txt',
    ]);
    const expert = set.byId.get('block.0.expert.1');
    expect(expert).toMatchObject({ status: 'measured', shown: formatPercent(0.5) });
    expect(expert && cellLabel(expert)).toMatch(
      /Saliency: 2, Share of tokens: 25.0\s%, Share of tokens in prose.txt: 50.0\s%, Share of tokens in code.txt: 0/,
    );
    const layer = set.byId.get('block.0.expert');
    expect(layer?.widthPruned).toMatchObject({ of: 'experts', kept: 2, count: 4, parameters: 20 });
    expect(layer && cellLabel(layer)).toMatch(/width 2 of 4 experts \(50.0\s%\)/);
    expect(set.byId.get('block.1.expert')?.widthPruned).toBeUndefined();
  });

  it('share the distance, the rank, the round and the place of their block', () => {
    const profile = readProfile({
      settings: { ...readProfile().settings, granularity: 'block' },
      candidates: [{ sublayer: 'block.2', distance: 0.5 }],
      rounds: makeRounds('block.2'),
    });
    const { byId } = buildCells(makeState({ profile, removed: ['block.2'] }));
    for (const id of ['block.2.attention', 'block.2.feedforward']) {
      expect(byId.get(id)).toMatchObject({
        distance: 0.5,
        rank: 1,
        round: 1,
        order: 1,
        mark: 'removed',
      });
    }
  });

  it('are left out if the search does not consider their kind', () => {
    const settings = { ...readProfile().settings, granularity: 'attention' as const };
    const { byId } = buildCells(makeState({ profile: readProfile({ settings }) }));
    expect(byId.get('block.0.feedforward')?.status).toBe('excluded');
    expect(byId.get('block.0.attention')?.status).toBe('pending');
  });

  it('show patches of the model, and planned ones for removed sublayers', () => {
    const graph = {
      edges: [
        [
          [1, 0],
          [2, 0],
        ],
        [
          [0, 0],
          [2, 1],
        ],
      ],
      ...{ next_id: 3, size: 2, max_conn: 10 },
    } as const;
    const patches = {
      'block.0.attention': { program: '(a)', graph, place: 'model' },
      'block.1.attention': { program: '(b)', graph, place: 'plan' },
      'block.2.attention': { program: '(c)', place: 'plan' },
    } as const;
    const { byId } = buildCells(makeState({ patches, removed: ['block.2.attention'] }));
    const of = (id: string) => {
      const cell = byId.get(id);
      return cell && [cellTooltip(cell), cellLabel(cell)];
    };
    expect(of('block.0.attention')).toEqual([
      'Graph module: (a)',
      'Attention, block 0: kept, not measured yet, graph module, a graph of 2 nodes and 1 edge',
    ]);
    expect(of('block.1.attention')).toEqual([
      undefined,
      'Attention, block 1: kept, not measured yet',
    ]);
    expect(of('block.2.attention')).toEqual([
      'Graph module: (c)',
      'Attention, block 2: removed, number 1, not measured yet, planned graph module',
    ]);
  });

  it('are the same objects if unchanged, so that they are not drawn again', () => {
    const state = makeState({
      profile: readProfile({
        candidates: [
          { sublayer: 'block.0.attention', distance: 0.5 },
          { sublayer: 'block.1.attention', distance: 0.01 },
          { sublayer: 'block.2.attention', distance: null },
        ],
      }),
    });
    const before = buildCells(state);
    const measured = { sublayer: 'block.2.attention', distance: null, atLeast: 0.2 };
    const after = buildCells(
      { ...state, candidates: { ...state.candidates, [measured.sublayer]: measured } },
      before,
    );
    const changed = after.cells.filter((cell, index) => cell !== before.cells[index]);
    expect(changed.map(({ id }) => id)).toEqual(['block.2.attention']);
    const marked = buildCells({ ...state, removed: ['block.1.feedforward'] }, before);
    expect(marked.cells.filter((cell, index) => cell !== before.cells[index])).toHaveLength(1);
  });

  it('order removed sublayers as the selection lists them', () => {
    const { byId } = buildCells(makeState({ removed: ['block.2.attention', 'block.0.attention'] }));
    expect(byId.get('block.2.attention')?.order).toBe(1);
    expect(byId.get('block.0.attention')?.order).toBe(2);
  });
});

describe('words of a cell', () => {
  const profile = readProfile({
    candidates: [
      { sublayer: 'block.0.attention', distance: 0.0123 },
      { sublayer: 'block.0.feedforward', distance: null, atLeast: 0.5 },
    ],
    cosineLocal: [{ sublayer: 'block.1.attention', distance: 0.25 }],
  });
  const set = buildCells(makeState({ profile, removed: ['block.0.attention'] }));
  const label = (id: string) => {
    const cell = set.byId.get(id);
    return cell && cellLabel(cell);
  };

  it('describe the known values', () => {
    expect(label('block.0.attention')).toBe(
      'Attention, block 0: removed, number 1, distance 0.0123, rank 1 of 1',
    );
    expect(label('block.0.feedforward')).toBe('MLP, block 0: kept, distance ≥ 0.5');
    expect(label('block.1.attention')).toBe('Attention, block 1: kept, preview 0.25');
    expect(label('block.2.attention')).toBe('Attention, block 2: kept, not measured yet');
  });

  it('show every number in the text below the grid', () => {
    const cell = set.byId.get('block.0.attention');
    const facts = cell === undefined ? [] : cellFacts(cell, 'js');
    expect(Object.fromEntries(facts.map(({ name, value }) => [name, value]))).toMatchObject({
      Distance: '0.0123, small',
      Rank: '1 of 1',
      Parameters: '10',
      Size: '20 B',
      'FLOPs per token': '20',
      'KV cache per token': '4 B',
      'Removed in round': '–',
    });
  });
});
