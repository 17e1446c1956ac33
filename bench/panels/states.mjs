// Large documents as the host tells them to panels.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createMessageConnection, IPCMessageReader, IPCMessageWriter } from 'vscode-jsonrpc/node';
import { root } from '../../scripts/lib/repository.mjs';
import { experts, writeModel } from '../inspect/models.mjs';

const idle = { kind: 'idle' };
const running = (/** @type {number} */ done) => ({
  ...{ kind: 'running', id: '1', what: 'sensitivity' },
  progress: { stage: 'Measuring', done, total: 1000, unit: 'steps', secondsLeft: 60 },
});

/** The explorer of a mixture of 256 experts in 61 layers, as the inspector describes it. */
export async function explorerDocument() {
  const folder = await mkdtemp(join(tmpdir(), 'espalier-bench-'));
  const inspector = fork(join(root, 'dist', 'inspector.js'), {
    execArgv: [],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  try {
    await writeModel(folder, experts);
    const connection = createMessageConnection(
      new IPCMessageReader(inspector),
      new IPCMessageWriter(inspector),
    );
    connection.listen();
    const model = await connection.sendRequest('describe', { job: 1, request: { model: folder } });
    connection.dispose();
    return {
      name: 'explorer: 61 blocks of 256 experts',
      panel: 'explorer',
      state: { model, statistics: {} },
      patches: Array.from({ length: 20 }, (_, i) => ({
        added: { statistics: { [`tensor ${i % 3}`]: { kind: 'reading', share: i / 20 } } },
      })),
    };
  } finally {
    const gone = once(inspector, 'exit');
    inspector.kill();
    await gone;
    await rm(folder, { recursive: true, force: true });
  }
}

const roles = ['query', 'key', 'value', 'output', 'gate', 'up', 'down'];

const entryOf = (/** @type {number} */ level) => ({
  ...{ method: 'lowrank', level, distance: 0.001 * level, error: 0.1, parameters: 100 * level },
  ...{ bytes: 200 * level, flopsPerToken: 200 * level, milliseconds: 0.01 * level },
});

/** The compression panel of 128 blocks, each of seven matrices at ten levels; more comes while it is looked at. */
export function compressionDocument() {
  const layers = Array.from({ length: 128 * roles.length }, (_, i) => ({
    tensor: `model.layers.${Math.floor(i / roles.length)}.${roles[i % roles.length]}.weight`,
    sublayer: `block.${Math.floor(i / roles.length)}.attention`,
    block: Math.floor(i / roles.length),
    role: roles[i % roles.length],
    ...{ out: 64, in: 64, parameters: 4096, bytes: 8192, flopsPerToken: 8192, milliseconds: 0.1 },
    entries: Array.from({ length: 10 }, (_, level) => entryOf(level + 1)),
  }));
  const calibration = { source: 'bundled', sequences: 16, length: 512, tokens: 8192 };
  const table = {
    model: { parameters: 4e9, bytes: 8e9, sublayers: [] },
    ...{ calibration, metric: 'js', metricDefinition: 'Jensen-Shannon', original: 0 },
    settings: { compressions: [{ method: 'lowrank' }] },
    ...{ device: 'cpu', seconds: 100, layers },
  };
  const model = { name: 'large', path: '/large', architecture: 'llama', bytes: 8e9, sublayers: [] };
  return {
    name: 'compression: 128 blocks × 7 matrices × 10 levels',
    panel: 'compression',
    state: {
      ...{ model, file: '/large.sensitivity.json', table, measured: {}, findings: [] },
      ...{ job: idle, removable: 0 },
    },
    patches: Array.from({ length: 20 }, (_, i) => {
      const layer = layers[i * 40];
      const entries = [...(layer?.entries ?? []), entryOf(11)];
      return {
        patch: { job: running(i) },
        added: { measured: { [layer?.tensor ?? '']: entries } },
      };
    }),
  };
}

/** The heatmap of 128 blocks with 200 rounds; cells sharpen while it is looked at. */
export function heatmapDocument() {
  const kinds = [
    { kind: 'attention', parameters: 4e6, bytes: 8e6, flopsPerToken: 8e6, kvBytesPerToken: 4096 },
    { kind: 'feedforward', parameters: 8e6, bytes: 16e6, flopsPerToken: 16e6, kvBytesPerToken: 0 },
  ];
  const sublayers = Array.from({ length: 128 }, (_, block) =>
    kinds.map((one) => ({ id: `block.${block}.${one.kind}`, block, ...one })),
  ).flat();
  const distanceOf = (/** @type {number} */ index) => 0.001 * 1.03 ** ((index * 37) % 256);
  const candidates = Object.fromEntries(
    sublayers.map(({ id }, i) => [id, { sublayer: id, distance: distanceOf(i) }]),
  );
  const order = [...sublayers.keys()].sort((a, b) => distanceOf(a) - distanceOf(b)).slice(0, 200);
  const rounds = order.map((index, i) => ({
    removed: sublayers[index]?.id ?? '',
    distance: 0.002 * 1.04 ** i,
  }));
  const [parameters, bytes] = [128 * 12e6 + 1e8, 128 * 24e6 + 2e8];
  const model = {
    ...{ name: 'large', path: '/models/large', architecture: 'llama', parameters, bytes },
    ...{ dtypes: { BF16: bytes }, blocks: 128, hiddenSize: 4096, sublayers, warnings: [] },
  };
  const line = (/** @type {number} */ i) => ({
    line: `  "key_${i}": ${i},`,
    change: i % 20 === 0 ? 'added' : i % 20 === 1 ? 'removed' : 'same',
  });
  return {
    name: 'heatmap: 128 blocks × 200 rounds',
    panel: 'heatmap',
    state: {
      ...{ model, candidates, job: idle, protectedIds: [], patches: {}, cannot: {} },
      profile: {
        settings: { metric: 'js', mode: 'adaptive', granularity: 'sublayer' },
        metricDefinition: 'Jensen-Shannon divergence, mean over tokens',
        calibration: {
          source: 'bundled',
          sequences: 16,
          length: 512,
          tokens: 8192,
          fingerprint: '',
        },
        cosineLocal: sublayers.map(({ id }, i) => ({ sublayer: id, distance: 0.01 + i / 1000 })),
        ...{ rounds, baselines: { random: rounds.slice(0, 64) } },
        evaluations: [{ rounds: 0, perplexity: 12 }],
        ...{
          device: 'cpu',
          search: { seconds: 600, sublayerEvaluations: 1e5, naiveSublayerEvaluations: 1e7 },
        },
      },
      ...{ selectedRounds: 64, removed: rounds.slice(0, 64).map(({ removed }) => removed) },
      configPreview: {
        lines: Array.from({ length: 60 }, (_, i) => line(i)),
        loadsWith: 'transformers',
      },
      profileFile: '/models/large.layerprofile.json',
    },
    patches: Array.from({ length: 20 }, (_, i) => {
      const id = sublayers[i * 12]?.id ?? '';
      return {
        patch: { job: { ...running(i), what: 'profile' } },
        added: { candidates: { [id]: { sublayer: id, distance: distanceOf(i) * 1.1 } } },
      };
    }),
  };
}

/** The data map of 200 000 pictures of 1000 classes, a page of which is looked at; more are marked meanwhile. */
export function dataMapDocument() {
  const [examples, names] = [200_000, Array.from({ length: 1000 }, (_, i) => `class ${i}`)];
  const kept = names.map((name) => ({ name, examples: 200, kept: 100 }));
  const overview = {
    ...{ name: 'pictures', score: 'el2n', examples, notes: [], mapped: examples, suspected: 4000 },
    scoring: {
      ...{ model: 'cnn', epoch: 10, runs: 3, seeds: [0, 1, 2], interRunSpearman: 0.8 },
      seconds: 600,
    },
    histogram: {
      ...{ low: 0.01, high: 1.3, infinite: 0 },
      counts: Array.from({ length: 40 }, (_, i) => 5000 + 100 * i),
    },
    // As many as the host draws of any data set.
    points: Array.from({ length: 3000 }, (_, i) => ({
      ...{ index: 66 * i, confidence: (i % 101) / 101, variability: (i % 73) / 146 },
      correctness: (i % 4) / 3,
    })),
    classes: names.map((name) => ({ name, examples: 200, suspected: 4, meanScore: 0.5 })),
  };
  const pixels = Buffer.alloc(32 * 32 * 3, 127).toString('base64');
  const items = Array.from({ length: 24 }, (_, i) => ({
    ...{ index: 1000 * i, score: 1 - i / 100, deviation: 0.01, label: 'class 1' },
    ...{ predicted: 'class 2', labelScore: 0.1, suspected: i % 2 === 0 },
    content: { kind: 'picture', width: 32, height: 32, pixels },
  }));
  const marks = Array.from({ length: 5000 }, (_, i) => 40 * i);
  return {
    name: 'data map: 200 000 examples of 1000 classes',
    panel: 'datamap',
    state: {
      ...{ scores: '/pictures.scores.json', marks, job: idle },
      map: { overview, data: '/pictures', experiments: [], warnings: [] },
    },
    answers: {
      examples: { total: examples, page: 0, items },
      choose: { examples, kept: examples / 2, classes: kept },
    },
    patches: Array.from({ length: 20 }, (_, i) => ({
      patch: { marks: [...marks, ...items.slice(0, i).map(({ index }) => index + 1)] },
    })),
  };
}
