import type { HeatmapState, ProfileState } from '../../../extension/protocol/heatmap';
import { noMarks } from '../../../extension/protocol/marks';
import type { ModelSummary } from '../../../extension/core/models/model-summary';

/** A model whose attention has 10 parameters and whose feed-forward has 30, in 2 bytes each. */
export function makeModel(blocks: number): ModelSummary {
  const sublayers = Array.from({ length: blocks }, (_, block) => [
    {
      id: `block.${block}.attention`,
      block,
      kind: 'attention' as const,
      parameters: 10,
      bytes: 20,
      flopsPerToken: 20,
      kvBytesPerToken: 4,
    },
    {
      id: `block.${block}.feedforward`,
      block,
      kind: 'feedforward' as const,
      parameters: 30,
      bytes: 60,
      flopsPerToken: 60,
      kvBytesPerToken: 0,
    },
  ]).flat();
  const parameters = 40 * blocks + 20;
  return {
    name: 'tiny',
    path: '/models/tiny',
    architecture: 'llama',
    parameters,
    bytes: 2 * parameters,
    dtypes: { BF16: 2 * parameters },
    blocks,
    hiddenSize: 4,
    vocabularySize: 5,
    maxPositions: 16,
    tiedHead: true,
    sublayers,
    fingerprint: 'f',
    warnings: [],
  };
}

/** Like {@link makeModel}, with MoE layers of four experts that have 5 of the 30 parameters each. */
export function makeMoeModel(blocks: number): ModelSummary {
  const model = makeModel(blocks);
  const experts = { count: 4, perToken: 2, parameters: 5, bytes: 10 };
  const sublayers = model.sublayers.map((one) =>
    one.kind === 'feedforward'
      ? { ...one, id: `block.${one.block}.expert`, kind: 'expert' as const, experts }
      : one,
  );
  return { ...model, sublayers };
}

export function readProfile(changes: Partial<ProfileState> = {}): ProfileState {
  return {
    settings: {
      metric: 'js',
      mode: 'exact',
      confidence: 0.999,
      granularity: 'sublayer',
      budget: { kind: 'all' },
      protect: [],
      exclude: 0,
      everyDistance: false,
      arithmetic: 'float32',
      baselines: [],
      seed: 0,
    },
    metricDefinition: 'Jensen–Shannon divergence',
    calibration: { source: 'bundled', sequences: 1, length: 8, tokens: 8, fingerprint: 'c' },
    candidates: [],
    cosineLocal: [],
    rounds: [],
    baselines: {},
    evaluations: [],
    ...changes,
  };
}

/** @param changes with a profile as the host knows it, which tells its candidates by themselves */
export function makeState(
  changes: Partial<Omit<HeatmapState, 'profile'>> & { readonly profile?: ProfileState } = {},
): HeatmapState {
  const candidates = changes.profile?.candidates ?? [];
  return {
    model: makeModel(3),
    profile: undefined,
    profileFile: undefined,
    candidates: Object.fromEntries(candidates.map((one) => [one.sublayer, one])),
    job: { kind: 'idle' },
    selectedRounds: undefined,
    slider: 0,
    byHand: noMarks,
    removed: [],
    protectedIds: [],
    widthPruned: {},
    patches: {},
    configPreview: { lines: [], loadsWith: '' },
    selectionEvaluation: undefined,
    drift: undefined,
    measurements: {},
    quantized: undefined,
    types: [],
    plans: undefined,
    blocked: undefined,
    cannot: {},
    ...changes,
  };
}

/** The rounds that remove these candidates, at distances 0.1, 0.2 … */
export function makeRounds(...removed: readonly string[]): ProfileState['rounds'] {
  return removed.map((id, index) => ({ removed: id, distance: (index + 1) / 10 }));
}

export function makeEvaluation(
  rounds: number,
  perplexity: number,
): ProfileState['evaluations'][number] {
  return { rounds, text: 'held-out', perplexity, tokens: 100, tokensPerSecond: 10 };
}
