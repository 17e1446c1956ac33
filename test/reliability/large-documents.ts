import type { DocumentId } from '../../extension/core/document-names';
import { bareScores } from '../../extension/core/datadiet/scores/score-document';
import type { ScoreDocument } from '../../extension/core/datadiet/scores/score-document';
import { unattended } from '../../extension/core/jobs/job';
import type { ModelSummary } from '../../extension/core/models/model-summary';
import { planFor } from '../../extension/core/plans/plan';
import type { Plan } from '../../extension/core/plans/plan';
import type { LayerProfile, Round } from '../../extension/core/prune/layer-profile';
import { evolve } from '../../extension/core/symbolic/evolution/evolve';
import type { GssnnDocument } from '../../extension/core/symbolic/evolution/gssnn-document';
import type { SensitivityProfile } from '../../extension/core/tensornet/sensitivity/sensitivity-profile';

/** The largest that are expected: blocks of two sublayers, rounds of a search, and so on. */
const sizes = { blocks: 128, rounds: 200, settings: 10, examples: 200_000, graphs: 256 } as const;

const origin = {
  created: '2026-11-28T00:00:00.000Z',
  versions: { espalier: '0', onnxruntime: '0', node: '0' },
  machine: { platform: 'none', processor: 'none', cores: 1 },
};
const calibration = {
  ...{ source: 'bundled', sequences: 16, length: 512, tokens: 8192, fingerprint: 'f'.repeat(64) },
};
/** A number with the digits of a measured value. */
const measured = (index: number): number => 0.1 + Math.sin(index) / 12.345_678_9;

/** A model that is nowhere. */
const model: ModelSummary = {
  ...{ name: 'large', path: '/nowhere/large', architecture: 'llama', warnings: [] },
  ...{ parameters: 1e9, bytes: 2e9, dtypes: { BF16: 2e9 }, blocks: sizes.blocks },
  fingerprint: 'f'.repeat(64),
  sublayers: Array.from({ length: sizes.blocks }, (_, block) =>
    (['attention', 'feedforward'] as const).map((kind) => ({
      ...{ id: `block.${block}.${kind}`, block, kind, parameters: 4e6, bytes: 8e6 },
      ...{ flopsPerToken: 8e6, kvBytesPerToken: 4096 },
    })),
  ).flat(),
};

function layerProfile(): LayerProfile {
  const distances = (round: number): LayerProfile['candidates'] =>
    model.sublayers.map(({ id }, i) => ({ sublayer: id, distance: measured(i * (round + 1)) }));
  const rounds = Array.from({ length: sizes.rounds }, (_, i): Round => ({
    ...{ removed: model.sublayers[i]?.id ?? '', distance: measured(i), standardError: 1e-4 },
    decision: { compared: 2 * sizes.blocks - i, confidence: 0.97, ties: [] },
    candidates: distances(i),
  }));
  return {
    ...{ format: 'espalier.layerprofile', version: 1, model, calibration, ...origin },
    ...{ metric: 'js', metricDefinition: 'Jensen-Shannon divergence, mean over tokens' },
    settings: {
      ...{ metric: 'js', mode: 'exact', confidence: 0.95, granularity: 'sublayer', exclude: 0 },
      ...{ budget: { kind: 'all' }, protect: [], everyDistance: true, baselines: [], seed: 0 },
      arithmetic: 'float32',
    },
    search: {
      ...{ mode: 'exact', device: 'cpu', seconds: 3600 },
      ...{ sublayerEvaluations: 1e6, naiveSublayerEvaluations: 1e8 },
    },
    ...{ candidates: distances(0), cosineLocal: distances(1), rounds, evaluations: [] },
    baselines: { random: rounds.map(({ removed, distance }) => ({ removed, distance })) },
  };
}

const roles = ['query', 'key', 'value', 'output', 'gate', 'up', 'down'] as const;

const layers = model.sublayers.slice(0, sizes.blocks).flatMap((_, block) =>
  roles.map((role) => ({
    tensor: `model.layers.${block}.${role}.weight`,
    sublayer: `block.${block}.${/^(gate|up|down)$/.test(role) ? 'feedforward' : 'attention'}`,
    ...{ block, role },
  })),
);

function sensitivity(): SensitivityProfile {
  const costs = (i: number): { decodeMsPerToken: number; prefillMsPerToken: number } => ({
    ...{ decodeMsPerToken: measured(i), prefillMsPerToken: measured(i + 1) },
  });
  const size = { parameters: 16_777_216, bytes: 33_554_432, flopsPerToken: 33_554_432 };
  return {
    ...{ format: 'espalier.sensitivity', version: 1, model, calibration, ...origin },
    ...{ metric: 'js', metricDefinition: 'Jensen-Shannon divergence, mean over tokens' },
    ...{ original: 0, device: 'cpu', seconds: 3600, sublayerEvaluations: 1e6 },
    settings: {
      ...{ compressions: [{ method: 'lowrank' }], metric: 'js', roles: [], blocks: [] },
      ...{ precision: 0.05, seed: 0 },
    },
    layers: layers.map((layer, i) => ({
      ...{ ...layer, out: 4096, in: 4096, ...size, ...costs(i) },
      entries: Array.from({ length: sizes.settings }, (_, setting) => ({
        ...{ method: 'lowrank', setting: 64 * (setting + 1), distance: measured(i + setting) },
        ...{ standardError: 1e-4, error: measured(setting), ...size, ...costs(i + setting) },
      })),
    })),
  };
}

function plan(): Plan {
  return planFor(
    { path: model.path, fingerprint: model.fingerprint },
    {
      remove: [],
      compress: layers.map(({ tensor }) => ({ tensor, method: 'lowrank', setting: 512 })),
    },
  );
}

/** One that was searched, each of its graphs as often as a large population has some. */
async function evolution(): Promise<GssnnDocument> {
  const settings: GssnnDocument['settings'] = {
    ...{ iterations: 2, population: sizes.graphs, keep: 8, seed: 1, programLimit: 60_000 },
    ...{ size: 'small', mode: 'clean', epochs: 1, legacyWeights: false },
    data: { mode: 'balanced', seed: 1, train: 16, validation: 8, test: 8 },
  };
  const share = { training: 0.5, train: 0.5, validation: 0.5, test: 0.5 };
  const { iterations, best } = await evolve(
    { ...settings, population: 4, keep: 2 },
    async () => Promise.resolve(share),
    unattended,
  );
  const line = { majority: 0.5, shortcut: 0.5 };
  return {
    ...{ format: 'espalier.gssnn', version: 1, settings, best, versions: { espalier: '0' } },
    lines: { train: line, validation: line, test: line },
    iterations: iterations.map((iteration) => ({
      ...iteration,
      models: Array.from({ length: sizes.graphs }, (_, i) => {
        const { models } = iteration;
        return { ...models[i % models.length], name: `graph ${i}` } as (typeof models)[number];
      }),
    })),
  };
}

function scores(): ScoreDocument {
  const numbers = Array.from({ length: sizes.examples }, (_, i) => measured(i));
  const classes = Array.from({ length: 1000 }, (_, i) => `class ${i}`);
  const labels = numbers.map((_, i) => i % classes.length);
  return {
    ...{ ...bareScores('el2n', numbers), classNames: classes, labels, predicted: labels },
    ...{ labelScores: numbers, confidence: numbers, variability: numbers, correctness: numbers },
  };
}

/** The largest documents that editors are expected to show. */
export const largeDocuments = {
  ...{ layerProfile, sensitivity, plan, evolution, scores },
} satisfies Partial<Record<DocumentId, () => unknown>>;
