import { beforeEach, describe, expect, it, vi } from 'vitest';
import type { LayerProfile } from '../../../extension/core/prune/layer-profile';
import { defaultSettings } from '../../../extension/core/prune/options';
import type { WidthPrunedModel } from '../../../extension/core/models/width-pruning/describe-width-pruned';
import { planFor } from '../../../extension/core/plans/plan';
import type { Plan } from '../../../extension/core/plans/plan';
import type { HeatmapState } from '../../../extension/protocol/heatmap';
import { ModelSession } from '../../../extension/services/sessions/model-session';
import { selectionPlan } from '../../../extension/services/documents/plans';
import type { StoredSession } from '../../../extension/services/sessions/session-store';
import { smallModel } from './small-model';
import { inEnglish } from '../../../extension/core/message';

const model = smallModel(4);
const calibration = { source: 'bundled', sequences: 1, length: 8, tokens: 8, fingerprint: '0' };
const order = ['block.2.attention', 'block.3.attention', 'block.1.feedforward'];
const profile: LayerProfile = {
  format: 'espalier.layerprofile',
  version: 1,
  model,
  calibration,
  metric: 'js',
  metricDefinition: 'JS',
  settings: defaultSettings,
  search: {
    seconds: 1,
    sublayerEvaluations: 2,
    naiveSublayerEvaluations: 3,
    mode: 'exact',
    device: 'cpu',
  },
  candidates: [],
  rounds: order.map((removed, index) => ({ removed, distance: index })),
  baselines: {},
  cosineLocal: [],
  evaluations: [{ rounds: 0, text: 'bundled', perplexity: 10, tokens: 8, tokensPerSecond: 1 }],
  created: '2026-01-01T00:00:00.000Z',
  versions: { espalier: '0', onnxruntime: '0', node: '0' },
  machine: { platform: 'linux', processor: 'p', cores: 1 },
};

describe('ModelSession', () => {
  let session: ModelSession;
  let saved: StoredSession | undefined;
  let reported: (keyof HeatmapState)[];

  const open = (stored?: StoredSession): ModelSession =>
    new ModelSession(
      model,
      '/models/small.layerprofile.json',
      {
        preview: ({ removed }, widthPruned) => ({
          lines: [],
          loadsWith: [...removed, ...Object.keys(widthPruned?.sublayers ?? {})].join(' '),
        }),
        widthPruned,
        showError: (error) => {
          throw error;
        },
        cannot: {},
        blocked: () => undefined,
        save: (now) => {
          saved = now;
        },
      },
      stored,
    );

  const left = {
    ...{ of: 'channels' as const, kept: 3, count: 4 },
    ...{ parameters: 1, bytes: 2, flopsPerToken: 2, kvBytesPerToken: 0 },
  };
  const widthPruned = async ({ widths = [] }: Pick<Plan, 'widths'>): Promise<WidthPrunedModel> => {
    if (widths.some(({ remove }) => remove === '9')) throw new Error('no channel 9');
    const sublayers = Object.fromEntries(widths.map(({ sublayer }) => [sublayer, left]));
    return Promise.resolve({ summary: model, sublayers });
  };

  beforeEach(() => {
    saved = undefined;
    reported = [];
    session = open();
    session.changed.listen((fields) => {
      reported.push(...fields);
    });
  });

  it('reports the fields changed by a choice, and updates its preview', () => {
    session.loadProfile(profile);
    reported.length = 0;
    session.chooseRounds(2);
    expect(reported).toEqual(
      expect.arrayContaining(['removed', 'selectedRounds', 'configPreview']),
    );
    expect(session.snapshot()).toMatchObject({
      removed: order.slice(0, 2),
      selectedRounds: 2,
      configPreview: { loadsWith: 'block.2.attention block.3.attention' },
      profileFile: '/models/small.layerprofile.json',
    });
  });

  it('is restored', () => {
    session.loadProfile(profile);
    session.chooseRounds(1);
    session.chooseMark('block.0.attention', 'protected');
    const restored = open(saved);
    restored.loadProfile(profile);
    expect(restored.snapshot()).toEqual(session.snapshot());
  });

  it('keeps the widths of a plan while their sublayers stay', async () => {
    const widths = [
      { sublayer: 'block.1.feedforward', remove: '3' },
      { sublayer: 'block.2.feedforward', remove: '3' },
    ];
    const plan = planFor({ path: 'small' }, { remove: ['block.0.attention'], widths });
    session.loadProfile(profile);
    await session.choosePlan(plan, '/plans/p.plan.json');
    expect(reported).toContain('widthPruned');
    const ids = widths.map(({ sublayer }) => sublayer);
    expect(session.snapshot()).toMatchObject({
      widthPruned: { [ids[0] ?? '']: left, [ids[1] ?? '']: left },
      configPreview: { loadsWith: ['block.0.attention', ...ids].join(' ') },
      selectedRounds: undefined,
    });
    expect(selectionPlan(session, '/models/small.plan.json')).toMatchObject({ widths });
    const evaluation = { rounds: 1, text: 't', perplexity: 5, tokens: 1, tokensPerSecond: 1 };
    session.addEvaluation(session.choice, evaluation);
    const restored = open(saved);
    await restored.restoreWidthPruning();
    restored.loadProfile(profile);
    expect(restored.snapshot()).toEqual(session.snapshot());

    // Removed, it cannot be width-pruned; kept again, it is.
    session.chooseMark(ids[0] ?? '', 'removed');
    expect(session.choice.widths).toEqual(widths.slice(1));
    await expect.poll(() => Object.keys(session.snapshot().widthPruned)).toEqual(ids.slice(1));
    expect(session.snapshot().selectionEvaluation).toBeUndefined();
    session.chooseMark(ids[0] ?? '', 'keep');
    await expect.poll(() => Object.keys(session.snapshot().widthPruned)).toEqual(ids);
    expect(session.snapshot().selectionEvaluation).toEqual(evaluation);

    const wrong = { ...plan, widths: [{ sublayer: ids[0] ?? '', remove: '9' }] };
    await expect(session.choosePlan(wrong, '/plans/p.plan.json')).rejects.toThrow('no channel 9');
    expect(session.widths).toEqual(widths);
    session.keepWidths();
    expect(session.snapshot().widthPruned).toEqual({});
    expect(selectionPlan(session, '/models/small.plan.json')).not.toHaveProperty('widths');
  });

  it('keeps the patches of a plan, which apply to removed sublayers', () => {
    const program = '(push (add (connect identity)))';
    const sublayer = 'block.1.feedforward';
    void session.choosePlan(
      {
        ...{ format: 'espalier.plan', version: 1, model: { path: 'small' } },
        ...{ remove: ['block.0.attention'], patch: [{ sublayer, program, file: 'w.safetensors' }] },
      },
      '/plans/p.plan.json',
    );
    expect(reported).toContain('patches');
    expect(session.selection.removed).toEqual(['block.0.attention', sublayer]);
    expect(session.snapshot().patches[sublayer]).toMatchObject({
      ...{ program, place: 'plan', graph: { size: 2 } },
      // 64 · (8 + 1), four times 64 · 65, and 8 · (64 + 1).
      parameters: 17_736,
    });
    const restored = open(saved);
    expect(restored.snapshot()).toEqual(session.snapshot());
    const patch = { sublayer, program, file: '../plans/w.safetensors' };
    expect(selectionPlan(restored, '/models/small.plan.json').patch).toEqual([patch]);

    session.addPatch({ sublayer, program: '(push identity)', file: '/models/other.safetensors' });
    const { patches } = session.snapshot();
    // A program that builds no graph is shown as it is.
    expect(patches[sublayer]).toMatchObject({ program: '(push identity)', place: 'plan' });
    expect(patches[sublayer]).not.toHaveProperty('graph');
    session.chooseMark(sublayer, 'protected');
    expect(selectionPlan(session, '/models/small.plan.json').patch).toBeUndefined();
  });

  it('ignores marks on sublayers that the model does not have', () => {
    session.chooseMark('block.99.attention', 'removed');
    expect(session.selection.removed).toEqual([]);
  });

  it('follows the rounds of a running search until the user chooses', () => {
    session.searchStarted(false);
    session.applyEvent({
      kind: 'started',
      model,
      calibration,
      settings: defaultSettings,
      metricDefinition: 'mean over tokens',
      device: 'cpu',
      candidates: model.sublayers.map(({ id }) => id),
    });
    session.applyEvent({
      kind: 'round',
      round: 1,
      result: { removed: 'block.2.attention', distance: 0 },
    });
    expect(session.snapshot()).toMatchObject({ removed: ['block.2.attention'], selectedRounds: 1 });
    session.chooseRounds(0);
    session.applyEvent({
      kind: 'round',
      round: 2,
      result: { removed: 'block.3.attention', distance: 1 },
    });
    expect(session.selection.removed).toEqual([]);
  });

  it('rests at the last round with a small loss until the user chooses', () => {
    session.loadProfile(profile);
    // Distances 0, 1 and 2.
    expect(session.snapshot()).toMatchObject({ selectedRounds: 1, slider: 1 });
    session.chooseRounds(2);
    session.loadProfile(profile);
    expect(session.snapshot().selectedRounds).toBe(2);
    const restored = open(saved);
    restored.loadProfile(profile);
    expect(restored.snapshot().selectedRounds).toBe(2);
  });

  it('undoes and redoes choices, and moves of the slider in quick succession together', () => {
    vi.useFakeTimers();
    try {
      session.loadProfile(profile);
      const start = session.selection;
      session.chooseRounds(2);
      session.chooseRounds(3);
      const moved = session.selection;
      session.chooseMark('block.0.attention', 'removed');
      vi.advanceTimersByTime(5000);
      session.chooseRounds(0);
      expect(session.selection.removed).toEqual(['block.0.attention']);
      session.undo();
      session.undo();
      expect(session.selection).toEqual(moved);
      session.undo();
      expect(session.selection).toEqual(start);
      session.undo();
      expect(session.selection).toEqual(start);
      session.redo();
      session.redo();
      expect(session.selection.removed).toEqual([...order, 'block.0.attention']);
      session.clearMarks();
      expect(session.selection).toEqual(moved);
      session.redo();
      expect(session.selection).toEqual(moved);
    } finally {
      vi.useRealTimers();
    }
  });

  it('shows warnings of the worker in addition to those of the model', () => {
    const reported: unknown[] = [];
    session.changed.listen((fields) => reported.push(...fields));
    session.setJob({ kind: 'idle' }, ['falls back to CPU']);
    session.setJob({ kind: 'idle' }, ['falls back to CPU']);
    session.setWarning('made for other weights');
    expect(session.snapshot().model.warnings.map(inEnglish)).toEqual([
      ...[...model.warnings.map(inEnglish), 'made for other weights', 'falls back to CPU'],
    ]);
    expect(reported.filter((field) => field === 'model')).toHaveLength(2);
  });

  it('shows the perplexity of the selection and puts it on the curve', () => {
    session.loadProfile(profile);
    expect(session.originalEvaluation?.perplexity).toBe(10);
    session.chooseRounds(2);
    expect(session.snapshot().selectionEvaluation).toBeUndefined();
    const evaluation = {
      rounds: 2,
      text: 'bundled',
      perplexity: 12,
      tokens: 8,
      tokensPerSecond: 1,
    };
    session.addEvaluation(
      { removed: order.slice(0, 2).reverse(), widths: [], patches: [] },
      evaluation,
    );
    expect(session.snapshot().selectionEvaluation?.perplexity).toBe(12);
    expect(session.snapshot().profile?.evaluations.map(({ rounds }) => rounds)).toEqual([0, 2]);
    session.chooseMark('block.0.feedforward', 'removed');
    expect(session.snapshot().selectionEvaluation).toBeUndefined();
  });

  it('shows the drift of the selection that it was measured for', () => {
    session.loadProfile(profile);
    session.chooseRounds(2);
    const drift = { positions: 8, limit: 0.1, sublayers: [], starts: 'block.0.attention' };
    session.addDrift({ removed: order.slice(0, 2).reverse(), widths: [], patches: [] }, drift);
    expect(session.snapshot().drift).toBe(drift);
    session.chooseRounds(1);
    expect(session.snapshot().drift).toBeUndefined();
  });

  it('distinguishes the perplexity with a patch from the one without', () => {
    session.loadProfile(profile);
    session.chooseRounds(1);
    const [sublayer = ''] = order;
    const evaluation = { rounds: 1, text: 'bundled', tokens: 8, tokensPerSecond: 1 };
    session.addEvaluation(session.choice, { ...evaluation, perplexity: 15 });
    const patch = { sublayer, program: '(push identity)', file: '/models/w.safetensors' };
    session.addPatch(patch);
    expect(session.snapshot().selectionEvaluation).toBeUndefined();
    session.addEvaluation(session.choice, { ...evaluation, perplexity: 11 });
    expect(session.snapshot().selectionEvaluation?.perplexity).toBe(11);
    expect(session.snapshot().profile?.evaluations.map(({ perplexity }) => perplexity)).toEqual([
      10, 15,
    ]);
    const restored = open(saved);
    restored.loadProfile(profile);
    expect(restored.snapshot().selectionEvaluation?.perplexity).toBe(11);
    // The same file, fitted again.
    session.addPatch(patch);
    expect(session.snapshot().selectionEvaluation).toBeUndefined();
  });
});
