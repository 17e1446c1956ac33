import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse } from 'valibot';
import type { GenericSchema } from 'valibot';
import { expect, it } from 'vitest';
import type { toCommandLine } from '../../../extension/services/jobs/command-line';
import type { JobService } from '../../../extension/services/jobs/job-service';
import type { getOperation } from '../../../extension/services/jobs/operations';
import type { JobStore } from '../../../extension/services/jobs/job-store';
import type { ModelSession } from '../../../extension/services/sessions/model-session';
import type { WorkerClient } from '../../../extension/services/worker/worker-client';
import { fixture } from '../fixtures';
import { temporaryFolder } from '../temporary-folder';
import { Scratch } from './scratch';

// Follows CONTRIBUTING.md's instructions for additions in a copy of the source, and tests them.

const model = fixture('llama-gqa-untied');
const folder = temporaryFolder();
const text = join(folder, 'text.txt');
await writeFile(text, 'the quick brown fox jumps over the lazy dog. '.repeat(20));
const cpu = ['--device', 'cpu'];
const calibration = ['--calibration', text, '--sequences', '1', '--length', '8', ...cpu];

/** Ends its process after the first word, if it is fragile and has not been there. */
const countWords = `
import { readFile, writeFile } from 'node:fs/promises';
import * as v from 'valibot';
import { Journal } from '../jobs/journal';
import { documentJournal } from '../jobs/work-folder';
import { flag, path } from './fields';
import { defineOperation } from './operation';

export const countWords = defineOperation({
  id: 'count-words',
  title: 'Count Words',
  verb: 'Counting words of',
  summary: 'Count the words of a text.',
  group: 'inspect',
  fields: {
    file: path({ description: 'The text', placeholder: 'TEXT', positional: true, required: true }),
    out: path({ description: 'Where to write the number', required: true }),
    fragile: flag({ description: 'End after the first word', default: false }),
  },
  rules: [],
  result: v.looseObject({ words: v.number() }),
  trust: 'write',
  resume: ({ out }) => documentJournal(out),
  run: async ({ file, out, fragile }) => {
    const words = (await readFile(file, 'utf8')).split(' ');
    const journal = await Journal.open(documentJournal(out), file, (value) => v.parse(v.string(), value));
    const resumed = journal.replayed.length;
    for (const word of words.slice(resumed)) {
      await journal.append([word]);
      if (fragile && resumed === 0) process.exit(1);
    }
    await writeFile(out, String(words.length));
    await journal.remove();
    return { words: words.length, resumed };
  },
});
`;

const notCalled = (): never => {
  throw new Error('not asked for here');
};

/** Exports of webview/heatmap that the trace uses; the types of the page are not available here. */
interface HeatmapView {
  readonly buildCells: (source: object) => {
    readonly cells: readonly HeatmapCell[];
    readonly byId: ReadonlyMap<string, HeatmapCell>;
    readonly column?: { readonly title: string };
  };
  readonly cellLabel: (cell: HeatmapCell) => string;
  readonly cellFacts: (cell: HeatmapCell, metric: string) => readonly object[];
  readonly knownColumns: (cells: readonly HeatmapCell[]) => readonly { readonly id: string }[];
  readonly selectRows: (
    cells: readonly HeatmapCell[],
    filter: object,
    sort: object,
  ) => readonly HeatmapCell[];
  readonly everything: object;
  readonly sortKeys: readonly string[];
  readonly savedView: GenericSchema<unknown, { readonly colors: string }>;
}
interface HeatmapCell {
  readonly id: string;
  readonly position?: number;
  readonly shown?: string;
}
interface HeatmapHost {
  readonly ModelSession: typeof ModelSession;
  readonly getOperation: typeof getOperation;
}

/** All that is added, at once to one copy: each by its own insertions. */
const scratch = await Scratch.make();
await scratch.insert(
  'extension/core/models/families/llama-like.ts',
  'llamaLikeFamilies: readonly Architecture[] = [',
  "{ ...base, modelType: 'added', biases: configuredBiases },",
);
await scratch.insert(
  'extension/core/metrics/metrics.ts',
  'const formulas = {',
  `
  squared: {
    needsScores: false,
    meaning: 'How far apart the raw outputs are',
    definition: say\`Squared norm of the change, mean over tokens\`,
    ...reading(['change'], (sums, { change }) => sums.product(change, change)),
    sequenceTerm: unchanged,
    distance: perToken,
  },`,
);
const layouts = 'extension/core/export/hugging-face/layouts.ts';
await scratch.insert(layouts, 'layoutNames = [', "'marked', ");
await scratch.insert(
  layouts,
  'layouts: Readonly<Record<LayoutName, Layout>> = {',
  `
  marked: {
    name: 'marked',
    what: 'A marked model.',
    keepsWeights: false,
    refuse: explainBlocksUnsupported,
    config: (source, changes) => rewriteConfig(source, changes).replace('{', '{"marked": true,'),
    module: 'none',
    plan: renumbered,
    loadsWith: (source) => describeLoading(source, false),
  },`,
);
const source = 'extension/core/export/write-source.ts';
await scratch.insert(
  'extension/core/export/output-formats.ts',
  'export const outputFormats = {',
  "\n  listed: 'Folder with a list',",
);
await scratch.insert(
  source,
  "import { dirname } from 'node:path';",
  "\nimport { writeFile } from 'node:fs/promises';\nimport { join } from 'node:path';",
);
await scratch.insert(
  source,
  'folderToOnnx(source, changes, context)),\n    },',
  `
  {
    format: 'listed',
    isDefault: () => true,
    refuse: () => Promise.resolve(undefined),
    writer: async (changes, options, context) => {
      const plain = safetensorsWriter(source, layouts.blocks, changes, options, context);
      return {
        ...plain,
        write: async (folder, copier) => {
          const names = await plain.write(folder, copier);
          await writeFile(join(folder, 'list.txt'), names.join());
          return [...names, 'list.txt'];
        },
      };
    },
  },`,
);
await scratch.write(
  'extension/commands/say-models.ts',
  `import type { Services } from '../services/services';

export function sayModels(services: Services, argument: unknown): string {
  return \`said \${String(argument)} to \${Object.keys(services).length}\`;
}
`,
);
await scratch.insert('package.nls.json', '{', '"command.sayModels": "Say Models",');
await scratch.insert(
  'scripts/lib/menus.mjs',
  "'espalier.plan': [",
  "command('sayModels', '1_do@5'),",
);
// A column of the heatmap is one entry. If an operation measures its values, a second edit declares them.
await scratch.insert(
  'webview/heatmap/columns.ts',
  'export const columns: readonly HeatmapColumn[] = [',
  `
  {
    id: 'density',
    title: t('Density'),
    scale: logScale,
    value: () => ({ parameters, bytes }) => parameters / bytes,
    format: formatDistanceShort,
  },
  {
    id: 'traffic',
    title: t('Traffic'),
    scale: logScale,
    value: measured('traffic'),
    format: formatCount,
  },`,
);
await scratch.insert(
  'extension/core/operations/latency.ts',
  'export const latency = defineOperation({',
  `
  presentation: { measures: () => ({ traffic: { 'block.1.attention': 7 } }) },`,
);
await scratch.write('extension/core/operations/count-words.ts', countWords);
await scratch.generate();
await scratch.build('cli', 'worker');

it('an architecture of a known shape: an entry in a table', async () => {
  const added = join(scratch.path, 'model');
  await cp(model, added, { recursive: true });
  const config = JSON.parse(await readFile(join(added, 'config.json'), 'utf8')) as object;
  await writeFile(join(added, 'config.json'), JSON.stringify({ ...config, model_type: 'added' }));
  expect(await scratch.json('inspect', added)).toMatchObject({ architecture: 'added' });
  const result = await scratch.json<{ perplexity: number; against: { perplexity: number } }>(
    ...['evaluate', added, '--against', model, '--text', text, ...cpu],
  );
  expect(result.perplexity).toBe(result.against.perplexity);
});

it('a distance: an entry in a table', async () => {
  const profile = ['profile', model, ...calibration, '--remove', '1', '--no-baselines'];
  const squared = await scratch.json<Profile>(...profile, '--metric', 'squared');
  const norm = await scratch.json<Profile>(...profile, '--metric', 'norm');
  expect(squared.metricDefinition).toBe('Squared norm of the change, mean over tokens');
  expect(squared.rounds[0]?.distance).toBeCloseTo((norm.rounds[0]?.distance ?? 0) ** 2 / 8, 4);
  expect(await scratch.read('package.json')).toContain('"%setting.metric.squared%"');
  expect(await scratch.read('package.nls.json')).toContain(
    '"How far apart the raw outputs are. Squared norm of the change',
  );
});

it('a palette command: a function, its title, and its entry in a menu', async () => {
  const manifest = JSON.parse(await scratch.read('package.json')) as {
    readonly contributes: {
      readonly commands: readonly object[];
      readonly menus: Readonly<Record<string, readonly object[]>>;
    };
  };
  expect(manifest.contributes.menus['espalier.plan']).toContainEqual({
    command: 'espalier.sayModels',
    group: '1_do@5',
  });
  expect(manifest.contributes.commands).toContainEqual({
    command: 'espalier.sayModels',
    title: '%command.sayModels%',
    category: 'Espalier',
  });
  // Everything of VS Code that the commands import and this does not call.
  await mkdir(join(scratch.path, 'dist/node_modules/vscode'), { recursive: true });
  await scratch.write(
    'dist/node_modules/vscode/index.js',
    `const anything = new Proxy(function () {}, { get: (_, key) => (key === 'prototype' ? {} : anything) });
    const handlers = {};
    const commands = {
      registerCommand: (id, run) => { handlers[id] = run; return {}; },
      executeCommand: async () => undefined,
    };
    module.exports = Object.assign(Object.create(anything), { commands, handlers, Disposable: { from: () => ({}) } });`,
  );
  const { registerCommands, runCommand, handlers } = await scratch.load<{
    readonly registerCommands: (load: () => Promise<object>) => void;
    readonly runCommand: (services: object, ...rest: readonly unknown[]) => Promise<unknown>;
    readonly handlers: Readonly<Record<string, (argument: unknown) => Promise<unknown>>>;
  }>(
    `export { registerCommands } from './extension/services/activation/register-commands';
    export { runCommand } from './extension/commands/run-command';
    export const { handlers } = require('vscode');`,
    ['vscode'],
  );
  registerCommands(async () =>
    Promise.resolve({
      runCommand: async (...given: readonly unknown[]) => runCommand({ log: 1, jobs: 2 }, ...given),
    }),
  );
  expect(await handlers['espalier.sayModels']?.('hello')).toBe('said hello to 2');
});

it('an operation with command line, worker, resume and history: a declaration', async () => {
  const [file, out] = [join(scratch.path, 'words.txt'), join(scratch.path, 'words.json')];
  await writeFile(file, 'one two three');
  expect(await scratch.node('dist/cli.js', 'count-words', '--help')).toMatch(
    /Count the words[\s\S]*--fragile/,
  );
  expect(await scratch.json('count-words', file, '--out', out)).toEqual({ words: 3, resumed: 0 });
  expect(await scratch.node('dist/cli.js', 'count-words', file, '--out', out)).toMatch(/words: 3/);
  expect(await scratch.read('docs/reference/cli.md')).toContain('## count-words');

  const host = await scratch.load<Host>(
    ['jobs/job-service', 'jobs/job-store', 'jobs/command-line', 'worker/worker-client']
      .map((name) => `export * from './extension/services/${name}';`)
      .join('\n'),
  );
  const worker = new host.WorkerClient({
    modulePath: join(scratch.path, 'dist/worker.js'),
    graceMilliseconds: 5000,
    onOutput: () => undefined,
    assertMayRun: () => undefined,
  });
  const jobs = new host.JobService({
    lanes: { worker: worker, dataReader: worker },
    store: new host.JobStore(join(scratch.path, 'storage/jobs.json'), () => undefined),
    withPassword: (given) => given,
    check: async () => Promise.resolve(),
    estimate: async () => Promise.resolve(null),
    log: { info: () => undefined, warn: () => undefined, error: () => undefined },
    translate: (message, ...args) => message.replace('{0}', String(args[0])),
    describeError: String,
  });
  const request = { file, out, fragile: true };
  const running = jobs.run({ operation: 'count-words', name: 'words', request } as never);
  await expect(running).rejects.toThrow();
  const [interrupted] = jobs.resumable;
  expect(interrupted).toMatchObject({
    title: 'Counting words of words',
    state: 'interrupted',
    saved: 'Progress is saved.',
  });
  expect(await jobs.resume(interrupted?.id ?? '')).toEqual({ words: 3, resumed: 1 });
  const [done] = jobs.jobs;
  expect(done).toMatchObject({ state: 'done', outputs: [out] });
  expect(done && host.toCommandLine(done)).toBe(
    `espalier count-words ${file} --out ${out} --fragile`,
  );
  worker.dispose();
});

it('a column of the heatmap: an entry, and the values that an operation measures for it', async () => {
  const { makeState, makeModel } = await import('../webview/heatmap-fixture');
  const view = await scratch.load<HeatmapView>(
    ['cells', 'cell-text', 'candidate-rows', 'columns', 'view-state']
      .map((name) => `export * from './webview/heatmap/${name}';`)
      .join('\n'),
  );
  const model = makeModel(2);
  const [first, ...others] = model.sublayers;
  const state = makeState({
    model: {
      ...model,
      sublayers: [{ ...first, parameters: 40 } as typeof first, ...others] as never,
    },
  });
  // Chosen and remembered, drawn in color, read aloud, in the details and in the table.
  const shown = view.buildCells({ ...state, colors: 'density' });
  const cell = shown.byId.get('block.0.attention');
  expect(parse(view.savedView, { colors: 'density' }).colors).toBe('density');
  expect(view.sortKeys).toContain('density');
  expect(shown.column?.title).toBe('Density');
  expect(cell).toMatchObject({ status: 'measured', position: 1, shown: '2' });
  expect(shown.byId.get('block.1.attention')?.position).toBe(0);
  expect(cell && view.cellLabel(cell)).toMatch(/Density: 2/);
  expect(cell && view.cellFacts(cell, '')).toContainEqual({ name: 'Density', value: '2' });
  expect(view.knownColumns(shown.cells).map(({ id }) => id)).toEqual(['density']);
  const sort = { key: 'density', descending: true };
  expect(view.selectRows(shown.cells, view.everything, sort)[0]?.id).toBe('block.0.attention');

  // The session keeps what the operation declares, whoever has run it.
  const loaded = await scratch.load<HeatmapHost>(
    `export { ModelSession } from './extension/services/sessions/model-session';
    export { getOperation } from './extension/services/jobs/operations';`,
  );
  const host = { widthPruned: notCalled, showError: notCalled, blocked: notCalled, cannot: {} };
  const surroundings = {
    ...host,
    preview: () => ({ lines: [], loadsWith: '' }),
    save: () => undefined,
  };
  const session = new loaded.ModelSession(model, 'm.layerprofile.json', surroundings, undefined);
  const { measures } = loaded.getOperation('latency');
  if (measures !== undefined) session.addMeasurements(measures({}));
  const measured = view.buildCells({
    ...state,
    ...session.read(['measurements']),
    colors: 'traffic',
  });
  expect(measured.byId.get('block.1.attention')).toMatchObject({ status: 'measured', shown: '7' });
  expect(measured.byId.get('block.0.attention')?.shown).toBeUndefined();
});

it('a layout to write: an entry in a table', async () => {
  const plan = join(scratch.path, 'one.plan.json');
  const document = { format: 'espalier.plan', version: 1, model: { path: model } };
  await writeFile(plan, JSON.stringify({ ...document, remove: ['block.1'] }));
  const out = join(scratch.path, 'written');
  const args = [
    'apply',
    plan,
    '--layout',
    'marked',
    '--format',
    'safetensors',
    '--out',
    out,
    '--no-quality',
    ...cpu,
  ];
  expect(await scratch.json(...args)).toMatchObject({ layout: 'marked' });
  expect(JSON.parse(await readFile(join(out, 'config.json'), 'utf8'))).toHaveProperty('marked');
});

it('a format to write: a name, and an option with its writer', async () => {
  const plan = join(scratch.path, 'two.plan.json');
  const document = { format: 'espalier.plan', version: 1, model: { path: model } };
  const remove = ['block.1.attention', 'block.1.feedforward'];
  await writeFile(plan, JSON.stringify({ ...document, remove }));
  const out = join(scratch.path, 'listed');
  const args = ['apply', plan, '--format', 'listed', '--out', out, '--no-quality', ...cpu];
  await scratch.json(...args);
  expect(await readFile(join(out, 'list.txt'), 'utf8')).toBe('model.safetensors');
});

interface Profile {
  readonly metricDefinition: string;
  readonly rounds: readonly { readonly distance: number }[];
}

interface Host {
  readonly JobService: typeof JobService;
  readonly JobStore: typeof JobStore;
  readonly WorkerClient: typeof WorkerClient;
  readonly toCommandLine: typeof toCommandLine;
}
