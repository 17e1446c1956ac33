// Large documents as the host tells them to panels.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createMessageConnection, IPCMessageReader, IPCMessageWriter } from 'vscode-jsonrpc/node';
import { root } from '../../scripts/lib/repository.mjs';
import { experts, writeModel } from '../inspect/models.mjs';

/**
 * Fields that states must have; the others are undefined without a value.
 * @typedef {import('../../extension/protocol/compression').CompressionState} CompressionState
 * @typedef {import('../../extension/protocol/heatmap').HeatmapState} HeatmapState
 * @typedef {Record<Exclude<keyof CompressionState, 'table' | 'plan' | 'scores' | 'warnings' | 'blocked'>, unknown>} Compression
 * @typedef {Record<Exclude<keyof HeatmapState, 'selectionEvaluation' | 'drift' | 'blocked'>, unknown>} Heatmap
 */

const idle = { kind: 'idle' };
const running = (/** @type {number} */ done) => ({
  ...{ kind: 'running', id: '1', name: 'Measuring', makesDocument: true },
  progress: { stage: 'Measuring', done, total: 1000, unit: 'steps', secondsLeft: 60 },
});

/**
 * The explorer of a model, by default one with 256 experts in each of 61 layers, as the inspector describes it.
 * @param {Parameters<typeof writeModel>[1] & {name: string}} of
 */
export async function explorerDocument(of = experts) {
  const folder = await mkdtemp(join(tmpdir(), 'espalier-bench-'));
  const inspector = fork(join(root, 'dist', 'inspector.js'), {
    execArgv: [],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  try {
    await writeModel(folder, of);
    const connection = createMessageConnection(
      new IPCMessageReader(inspector),
      new IPCMessageWriter(inspector),
    );
    connection.listen();
    const model = await connection.sendRequest('describe', { job: 1, request: { model: folder } });
    connection.dispose();
    return {
      name: `explorer: ${of.name}`,
      panel: 'explorer',
      state: { model, statistics: {} },
      patches: Array.from({ length: 20 }, (_, i) => ({
        added: { statistics: { [`tensor ${i % 3}`]: { kind: 'reading', share: i / 20 } } },
      })),
    };
  } finally {
    const exited = once(inspector, 'exit');
    inspector.kill();
    await exited;
    await rm(folder, { recursive: true, force: true });
  }
}

const roles = ['query', 'key', 'value', 'output', 'gate', 'up', 'down'];

const exampleTimes = (/** @type {number} */ time) => ({
  decodeMsPerToken: time,
  prefillMsPerToken: time / 4,
});

const exampleEntry = (/** @type {number} */ setting) => ({
  ...{
    method: 'lowrank',
    setting,
    distance: 0.001 * setting,
    error: 0.1,
    parameters: 100 * setting,
  },
  ...{ bytes: 200 * setting, flopsPerToken: 200 * setting, ...exampleTimes(0.01 * setting) },
});

/** Plans of all sizes of 8 GB, and the one for half of it. */
const changes = { compressed: 700, removed: 12, widthPruned: 30 };
const surveyed = {
  unit: 'bytes',
  points: Array.from({ length: 12 }, (_, i) => ({
    ...{ cost: 8e9 - i * 6e8, share: 1 - i * 0.075, sumOfDistances: 1e-5 * 4 ** i, ...changes },
  })),
  reach: [{ unit: 'bytes', before: 8e9, least: 1.4e9 }],
};
const predicted = {
  limits: [{ unit: 'bytes', cost: 4e9, before: 8e9, most: 4e9 }],
  ...{ sumOfDistances: 0.02, ...changes },
};

/** A size of a model, as `espalier fit` lists it. */
const exampleType = (
  /** @type {string} */ size,
  /** @type {number} */ bytes,
  /** @type {number} */ klDivergence,
  isMeasured = false,
) => ({
  ...{ size, bytes, seconds: 90, mix: undefined, isForbidden: false },
  loss: { code: 'small loss', parameters: [] },
  ...(isMeasured ? { perplexityRatio: 1 + 2 * klDivergence } : {}),
  known: { klDivergence, perplexityRatio: 1 + 2 * klDivergence, isMeasured },
});

/** Types of a model with this size in 16 bits. Sizes that users compare are close to each other. */
const exampleTypes = (/** @type {number} */ bytes) => [
  exampleType('Q8_0', 0.53 * bytes, 0.001, true),
  exampleType('Q6_K', 0.41 * bytes, 0.003),
  exampleType('Q5_K_M', 0.355 * bytes, 0.008),
  exampleType('Q5_K_S', 0.345 * bytes, 0.01),
  exampleType('Q4_K_M', 0.302 * bytes, 0.03),
  exampleType('Q4_K_S', 0.288 * bytes, 0.037),
  exampleType('IQ4_XS', 0.27 * bytes, 0.041),
  exampleType('Q3_K_M', 0.245 * bytes, 0.12),
];

/** The compression panel of blocks, each of seven matrices at ten settings; more comes while it is looked at. */
export function compressionDocument(blocks = 128) {
  const layers = Array.from({ length: blocks * roles.length }, (_, i) => ({
    tensor: `model.layers.${Math.floor(i / roles.length)}.${roles[i % roles.length]}.weight`,
    sublayer: `block.${Math.floor(i / roles.length)}.attention`,
    block: Math.floor(i / roles.length),
    role: roles[i % roles.length],
    ...{
      out: 64,
      in: 64,
      parameters: 4096,
      bytes: 8192,
      flopsPerToken: 8192,
      ...exampleTimes(0.1),
    },
    entries: Array.from({ length: 10 }, (_, setting) => exampleEntry(setting + 1)),
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
    name: `compression: ${blocks} blocks × 7 matrices × 10 settings`,
    panel: 'compression',
    state: /** @satisfies {Compression} */ ({
      ...{ model, file: '/large.sensitivity.json', table, measured: {}, findings: [] },
      ...{ job: idle, removable: 0, units: ['bytes', 'parameters', 'flops', 'decode', 'prefill'] },
      ...{ types: exampleTypes(8e9), canPlan: true },
      pruned: Array.from({ length: 8 }, (_, i) => ({
        ...{ rounds: i + 1, bytes: 8e9 - (i + 1) * 2.4e8, distance: 0.004 * 1.9 ** i },
      })),
    }),
    answers: { survey: surveyed, predict: predicted },
    patches: Array.from({ length: 20 }, (_, i) => {
      const layer = layers[(i * 40) % layers.length];
      const entries = [...(layer?.entries ?? []), exampleEntry(11)];
      return {
        patch: { job: running(i) },
        added: { measured: { [layer?.tensor ?? '']: entries } },
      };
    }),
  };
}

/** The compression panel of a GGUF file, which plans can't compress. */
export function ggufDocument() {
  const bytes = 1.6e9;
  const model = { name: 'model-Q8_0.gguf', path: '/model-Q8_0.gguf', architecture: 'llama' };
  const mix = {
    ...exampleType('50%', bytes / 2, 0),
    mix: { code: 'Half the size', parameters: [] },
    known: undefined,
  };
  return {
    name: 'compression: a GGUF file',
    panel: 'compression',
    state: /** @satisfies {Compression} */ ({
      model: { ...model, bytes, sublayers: [] },
      ...{ file: '/model-Q8_0.sensitivity.json', measured: {}, findings: [], job: idle },
      ...{ removable: 0, units: [], canPlan: false, pruned: [] },
      types: [mix, ...exampleTypes(1.88 * bytes)],
    }),
    patches: [],
  };
}

/** The heatmap of a model that was not profiled. */
export function newHeatmapDocument(blocks = 30) {
  const { state } = heatmapDocument(blocks, 0);
  const { profile: _, profileFile: __, ...rest } = state;
  return {
    name: `heatmap: ${blocks} blocks, not profiled`,
    panel: 'heatmap',
    state: { ...rest, candidates: {}, slider: 0, selectedRounds: 0, removed: [] },
    patches: [],
  };
}

/** The heatmap of blocks with rounds of a search; cells sharpen while it is looked at. */
export function heatmapDocument(blocks = 128, count = 200) {
  const kinds = [
    { kind: 'attention', parameters: 4e6, bytes: 8e6, flopsPerToken: 8e6, kvBytesPerToken: 4096 },
    { kind: 'feedforward', parameters: 8e6, bytes: 16e6, flopsPerToken: 16e6, kvBytesPerToken: 0 },
  ];
  const sublayers = Array.from({ length: blocks }, (_, block) =>
    kinds.map((one) => ({ id: `block.${block}.${one.kind}`, block, ...one })),
  ).flat();
  const exampleDistance = (/** @type {number} */ index) =>
    0.001 * 1.03 ** ((index * 37) % (2 * blocks));
  const candidates = Object.fromEntries(
    sublayers.map(({ id }, i) => [id, { sublayer: id, distance: exampleDistance(i) }]),
  );
  const order = [...sublayers.keys()]
    .sort((a, b) => exampleDistance(a) - exampleDistance(b))
    .slice(0, count);
  const rounds = order.map((index, i) => ({
    removed: sublayers[index]?.id ?? '',
    distance: 0.002 * 1.04 ** i,
  }));
  const selected = Math.min(64, Math.floor(count / 2));
  const [parameters, bytes] = [blocks * 12e6 + 1e8, blocks * 24e6 + 2e8];
  const model = {
    ...{ name: 'large', path: '/models/large', architecture: 'llama', parameters, bytes },
    ...{ dtypes: { BF16: bytes }, blocks, hiddenSize: 4096, sublayers, warnings: [] },
  };
  const line = (/** @type {number} */ i) => ({
    line: `  "key_${i}": ${i},`,
    change: i % 20 === 0 ? 'added' : i % 20 === 1 ? 'removed' : 'same',
  });
  return {
    name: `heatmap: ${blocks} blocks × ${count} rounds`,
    panel: 'heatmap',
    state: /** @satisfies {Heatmap} */ ({
      ...{
        model,
        candidates,
        job: idle,
        protectedIds: [],
        widthPruned: {},
        patches: {},
        cannot: {},
      },
      measurements: {},
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
      ...{ slider: selected, byHand: { removed: [], kept: [] } },
      ...{ selectedRounds: selected, removed: rounds.slice(0, selected).map((one) => one.removed) },
      configPreview: {
        lines: Array.from({ length: 60 }, (_, i) => line(i)),
        loadsWith: 'transformers',
      },
      profileFile: '/models/large.layerprofile.json',
      quantized: {
        ...{ type: 'Q5_K_M', bytes: 0.355 * bytes, bytesBefore: bytes, perplexityRatio: 1.009 },
        loss: { code: 'small loss', parameters: [] },
      },
      types: exampleTypes(bytes),
      plans: {
        metric: 'js',
        points: Array.from({ length: 10 }, (_, i) => ({
          ...{ cost: (0.95 - i * 0.075) * bytes, share: 0.95 - i * 0.075 },
          ...{ sumOfDistances: 1e-5 * 4 ** i, ...changes },
        })),
      },
    }),
    patches: Array.from({ length: 20 }, (_, i) => {
      const id = sublayers[(i * 12) % sublayers.length]?.id ?? '';
      return {
        patch: { job: { ...running(i), name: 'Profiling' } },
        added: { candidates: { [id]: { sublayer: id, distance: exampleDistance(i) * 1.1 } } },
      };
    }),
  };
}

/** The heatmap of a MoE model whose experts are scored on two texts and searched; half of them are removed. */
export function moeHeatmapDocument(blocks = 48, experts = 128) {
  const { state, patches } = heatmapDocument(blocks, 0);
  const { model, profile } = state;
  const sublayers = model.sublayers.map((one) =>
    one.kind === 'feedforward'
      ? {
          ...{ ...one, id: `block.${one.block}.expert`, kind: 'expert' },
          experts: { count: experts, perToken: 8, parameters: 1e5, bytes: 2e5 },
        }
      : one,
  );
  const ids = sublayers.flatMap(({ id, kind }) =>
    kind === 'expert' ? Array.from({ length: experts }, (_, j) => `${id}.${j}`) : [],
  );
  const column = (/** @type {number} */ seed) =>
    Object.fromEntries(ids.map((id, i) => [id, ((i * seed) % 101) / 1000]));
  const removed = ids.filter((_, i) => (i * 37) % 128 < 32 + (i >> 7));
  const makeCandidate = (/** @type {string} */ sublayer, /** @type {number} */ i) => ({
    ...{ sublayer, distance: 1e-5 * 1.5 ** ((i * 37) % 20) },
  });
  return {
    name: `heatmap: ${blocks} blocks × ${experts} experts`,
    panel: 'heatmap',
    state: {
      ...state,
      model: { ...model, sublayers },
      profile: { ...profile, settings: { ...profile?.settings, granularity: 'expert' } },
      candidates: Object.fromEntries(ids.map((id, i) => [id, makeCandidate(id, i)])),
      measurements: {
        ...{ saliency: column(31), tokens: column(17) },
        ...{ 'tokens:prose.txt': column(13), 'tokens:code.txt': column(43) },
      },
      ...{ removed, slider: 0, selectedRounds: undefined },
    },
    patches: patches.map(({ patch }, i) => ({
      patch,
      added: { candidates: { [ids[i * 300] ?? '']: makeCandidate(ids[i * 300] ?? '', i + 1) } },
    })),
  };
}

/** Data map of 200 000 images of 1000 classes, with one page open while more examples are being marked. */
export function dataMapDocument() {
  const [examples, names] = [200_000, Array.from({ length: 1000 }, (_, i) => `class ${i}`)];
  const kept = names.map((name) => ({ name, examples: 200, kept: 100 }));
  const overview = {
    ...{ name: 'pictures', score: 'el2n', examples, notes: [], mapped: examples },
    issues: { suspected: 4000, duplicates: 300, outliers: 200 },
    embedding: {
      ...{ layer: '256 features', layout: 'pca' },
      points: Array.from({ length: 3000 }, (_, i) => ({
        ...{ index: 66 * i, x: Math.cos(i) * (i % 97), y: Math.sin(i) * (i % 89) },
        ...{ label: i % 1000, score: (i % 101) / 101, issues: i % 50 === 0 ? ['suspected'] : [] },
      })),
    },
    scoring: {
      ...{ model: 'cnn', epoch: 10, runs: 3, seeds: [0, 1, 2], interRunSpearman: 0.8 },
      seconds: 600,
    },
    histogram: {
      ...{ low: 0.01, high: 1.3, infinite: 0 },
      counts: Array.from({ length: 40 }, (_, i) => 5000 + 100 * i),
    },
    // The number that the host draws of any dataset.
    points: Array.from({ length: 3000 }, (_, i) => ({
      ...{ index: 66 * i, confidence: (i % 101) / 101, variability: (i % 73) / 146 },
      correctness: (i % 4) / 3,
    })),
    classes: names.map((name, i) => ({
      ...{ name, examples: 200, suspected: 4, meanScore: 0.5 },
      confused: { label: (i + 1) % 1000, examples: 3 },
    })),
  };
  const pixels = Buffer.alloc(32 * 32 * 3, 127).toString('base64');
  const items = Array.from({ length: 24 }, (_, i) => ({
    ...{ index: 1000 * i, score: 1 - i / 100, deviation: 0.01, label: 'class 1' },
    ...{ predicted: 'class 2', labelScore: 0.1, suspected: i % 2 === 0, isOutlier: i % 7 === 0 },
    content: { kind: 'picture', width: 32, height: 32, pixels },
  }));
  const marks = Array.from({ length: 5000 }, (_, i) => 40 * i);
  return {
    name: 'data map: 200 000 examples of 1000 classes',
    panel: 'datamap',
    state: {
      ...{ scores: '/pictures.scores.json', marks, relabeled: [], job: idle },
      map: { overview, experiments: [], warnings: [] },
      data: { path: '/pictures', warnings: [] },
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

/** Panel of an evolution of a few graphs, including one learned invention. */
export function symbolicDocument() {
  const graph = {
    edges: [
      ...[
        [
          [2, 1],
          [5, 1],
        ],
        [
          [2, 0],
          [3, 0],
        ],
        [
          [1, 1],
          [5, 2],
        ],
      ],
      ...[
        [
          [1, 0],
          [4, 0],
        ],
        [
          [0, 1],
          [3, 2],
        ],
        [
          [0, 0],
          [4, 1],
        ],
      ],
    ],
    ...{ next_id: 6, size: 3, max_conn: 4 },
  };
  const program = (/** @type {number} */ i) => ({
    text: `(lambda (insert (connect ${i} $0) (connect ${i + 1} $0)))`,
    reduced: { text: `(insert (connect ${i} 0) (connect ${i + 1} 0))`, symbols: 12 },
    uses: i === 0 ? ['f0'] : [],
  });
  const models = Array.from({ length: 8 }, (_, i) => ({
    ...{ name: `graph ${i}`, graph, graphClass: i % 3, program: program(i), mass: 10 + i },
    metrics: { training: 0.5, train: 0.6, validation: 0.5 + i / 50, test: 0.5 + i / 40 },
    kept: i < 4,
  }));
  const iteration = {
    exploration: { programs: 3e6, valid: 1000, new: 800, graphs: 8 },
    spread: { mean: 0.58, deviation: 0.05 },
    correlation: 0.4,
    models,
  };
  return {
    name: 'evolution: 3 iterations of 8 graphs',
    panel: 'symbolic',
    state: {
      ...{ file: '/evolved/synthesis.gssnn.json', job: idle },
      evolution: {
        settings: {
          ...{ iterations: 3, population: 8, keep: 4, seed: 3, programLimit: 3e6 },
          ...{ size: 'small', mode: 'clean', epochs: 3, legacyWeights: false, baselines: 2 },
          data: { mode: 'faithful', seed: 3, train: 64, validation: 60, test: 60 },
        },
        baselines: [{ training: 0.5, train: 0.6, validation: 0.55, test: 0.52 }],
        iterations: [iteration, iteration, iteration],
        inventions: [
          { name: 'f0', body: program(3), iteration: 1, utility: 20, programs: [0, 1, 1] },
        ],
        best: { iteration: 3, model: 8 },
      },
    },
    patches: [],
  };
}

/** A prompt that two models have continued. */
export function playgroundDocument() {
  const token = (/** @type {number} */ i) => ({
    text: ` word${i}`,
    probability: 1 / ((i % 7) + 1),
    likeliest: [0, 1, 2, 3, 4].map((j) => ({
      text: ` word${i + j}`,
      probability: 1 / (i + j + 2),
    })),
  });
  const tokens = Array.from({ length: 60 }, (_, i) => [
    [`0.${i}`, token(i)],
    [`1.${i}`, token(i < 20 ? i : i + 1)],
  ]);
  return {
    name: 'playground: two texts of 60 tokens',
    panel: 'playground',
    state: {
      models: ['/models/original', '/models/smaller'],
      run: { kind: 'done' },
      tokens: Object.fromEntries(tokens.flat()),
      paces: [
        { tokensPerSecond: 21.4, ended: false },
        { tokensPerSecond: 30.1, ended: false },
      ],
      warnings: [],
      isChatTurn: true,
      turns: [
        {
          prompt: 'Who wrote it?',
          answers: ['A clerk of the court wrote it.', 'A clerk wrote it, in the year after.'],
        },
      ],
    },
    patches: [],
  };
}

/** The report of a smaller model. */
export function reportDocument() {
  const folder = '/models/original-half';
  const model = `${folder}/original.gguf`;
  const types = { Q8_0: '2.9 MB', Q5_1: '400 kB', Q5_0: '300 kB', IQ4_NL: '60 kB' };
  return {
    name: 'report: a mix of types',
    panel: 'report',
    state: {
      report: {
        ...{ key: folder, title: 'original-half', tooltip: folder },
        tags: ['Smaller model', 'llama.cpp'],
        notices: ['The weights of the original are Q8_0. The loss is relative to that file.'],
        subject: { output: folder, model, source: '/models/original' },
        steps: [
          { id: 'playground', label: 'Try It', title: 'Open it in the playground' },
          { id: 'reveal', label: 'Reveal', title: 'Show the files in the Explorer' },
          { id: 'evenSmaller', label: 'Even Smaller…', title: 'Make another size' },
          { id: 'seeWhy', label: 'See Why', title: 'Show the size of each tensor in each type' },
        ],
        sections: [
          {
            title: 'Result',
            note: 'Measured on 2.04 K tokens of held-out text.',
            tiles: [
              { name: 'Size', value: '3.62 MiB', note: 'instead of 7.24 MiB (−50 %)' },
              { name: 'Perplexity', value: '+0.18 %', note: '39.54 → 39.61 · 95 % interval' },
              { name: 'Top-1 agreement', value: '89 %', note: '95 % interval 88 % to 90 %' },
            ],
            texts: [
              'Verified: it opens and runs, top-1 agreement with the plan 97 % on 64 tokens.',
            ],
          },
          {
            title: 'Requirements',
            note: 'accepted',
            table: {
              columns: [{ title: 'Limit' }, { title: 'Measured', isNumber: true }],
              rows: [['perplexity<+5%', '+0.2 %']],
            },
          },
          {
            title: 'Run it',
            commands: [
              { program: 'llama.cpp', command: `llama-server -m ${model} -c 4096` },
              {
                program: 'Ollama',
                command: `echo FROM ${model} > Modelfile && ollama create original -f Modelfile`,
              },
            ],
          },
          {
            title: 'Types',
            table: {
              columns: [{ title: 'Type' }, { title: 'Bytes', isNumber: true }],
              rows: Object.entries(types),
            },
          },
          { title: 'Removed', list: ['block.3.attention', 'block.5.feedforward'] },
          { title: 'The program', code: '(graph 3)' },
        ],
      },
    },
    patches: [],
  };
}
