/**
 * FinerCut's searches against each other and against a plain PyTorch loop, on the same tokens with
 * as many threads. Prints a Markdown table and, from a quiet machine, writes it to RESULTS.md. Fails where orders differ.
 *
 *     node bench/finercut/run.mjs [--quick] [--only NUMBER]
 *
 * --quick: tiny searches, to try the bench itself; nothing is written. Otherwise it takes three quarters of an hour.
 * --only: one section (1: the sample, 2: SmolLM2, 3: SmolLM2 with the default tokens); nothing is written.
 */
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { root } from '../../scripts/lib/repository.mjs';
import { dim, red, say } from '../../scripts/lib/terminal.mjs';
import { isBuilt } from '../lib/espalier.mjs';
import { inTemporaryFolder } from '../lib/folders.mjs';
import { Machine } from '../lib/machine.mjs';
import { common, compare, median } from './compare.mjs';
import { espalier, pytorch, writeTokens } from './contenders.mjs';
import { preparePython, prepareSmolLM2, smolLM2Source } from './python.mjs';

/**
 * @typedef {import('./contenders.mjs').Task} Task
 * @typedef {import('./contenders.mjs').Contender} Contender
 * @typedef {import('./contenders.mjs').Result} Result
 */

const results = fileURLToPath(new URL('RESULTS.md', import.meta.url));
/** Error that float32 may cause in a distance when several candidates share a run. */
const exactTolerance = 1e-5;

const { values: options } = parseArgs({
  options: { quick: { type: 'boolean' }, only: { type: 'string' } },
});

/** @type {Task} */
const sample = {
  name: 'espalier-sample',
  model: join(root, 'samples', 'espalier-sample'),
  searches: ['exact', 'naive', 'lazy', 'adaptive'],
  ...(options.quick
    ? { sequences: 2, length: 32, remove: 2, repeats: 1, loopRounds: 2 }
    : { sequences: 10, length: 128, remove: 6, repeats: 3, loopRounds: 6 }),
};

/**
 * @param {string} model
 * @returns {Task}
 */
const smolLM2 = (model) => ({
  name: 'SmolLM2-135M',
  model,
  searches: ['exact', 'adaptive'],
  ...(options.quick
    ? { sequences: 2, length: 8, remove: 2, repeats: 1, loopRounds: 1 }
    : { sequences: 6, length: 128, remove: 15, repeats: 1, loopRounds: 1 }),
});

/**
 * As people run it who set nothing.
 * @param {string} model
 * @returns {Task}
 */
const smolLM2ByDefault = (model) => ({
  ...smolLM2(model),
  searches: ['adaptive'],
  ...(options.quick ? { sequences: 3 } : { sequences: 10, length: 256 }),
});

process.exitCode = await main();

async function main() {
  if (!isBuilt()) return 1;
  const python = await preparePython().catch(sayWithout('the PyTorch loop'));
  const model =
    python === undefined
      ? undefined
      : await prepareSmolLM2(python).catch(sayWithout('SmolLM2-135M'));
  const machine = await Machine.watch();
  const tasks = [
    sample,
    ...(model === undefined ? [] : [smolLM2(model), smolLM2ByDefault(model)]),
  ].filter((_, i) => options.only === undefined || i + 1 === Number(options.only));
  /** @type {{text: string, failures: string[]}[]} */
  const sections = [];
  for (const task of tasks) {
    await inTemporaryFolder(async (folder) => {
      /** @type {Contender[]} */
      const peers = [];
      /** @type {{fingerprint: string, versions: import('../lib/machine.mjs').Versions} | undefined} */
      let tokens;
      if (python !== undefined) {
        const file = join(folder, 'tokens.json');
        tokens = await writeTokens(python, task, file);
        peers.push(pytorch(python, machine.cores, file, task));
      }
      /** @param {string} fingerprint */
      const check = (fingerprint) => {
        if (tokens !== undefined && fingerprint !== tokens.fingerprint) {
          throw new Error(`${task.name}: the tokens of both sides differ`);
        }
      };
      const contenders = [...task.searches.map((mode) => espalier(mode, task, check)), ...peers];
      sections.push(await race(task, contenders));
      await publish(machine, tokens?.versions);
    });
  }
  const failures = sections.flatMap((section) => section.failures);
  for (const failure of failures) say(red(failure));
  return failures.length === 0 ? 0 : 1;

  /**
   * After each task, so that an interrupted run leaves what it has.
   * @param {Machine} machine
   * @param {import('../lib/machine.mjs').Versions} [versions]
   */
  async function publish(machine, versions) {
    const text = [
      '# FinerCut: searches compared',
      '',
      await machine.describe(versions),
      'Command: `npm run build && node bench/finercut/run.mjs`.',
      '',
      'Float32, distance `js`, the same tokens for all (checked by their fingerprint), one thread per core,',
      'one run after the other. A sublayer evaluation is one sublayer run over one sequence. Seconds are',
      "the search's own: Espalier's include making its sessions, PyTorch's exclude loading the model.",
      'Ratios are to the adaptive search, the default, of the same repeat. CPU seconds are those of the whole process, starting',
      "and loading included; PyTorch's threads wait busily, so that another load on the machine raises its",
      'numbers most: measure on a quiet one. All times and ratios are medians.',
      smolLM2Source,
      '',
      ...sections.map((section) => section.text),
    ].join('\n');
    await machine.publish(results, text, !options.quick && options.only === undefined);
  }
}

/**
 * Runs the contenders in turn, as often as the task says, and holds them against each other.
 * @param {Task} task
 * @param {readonly Contender[]} contenders
 * @returns {Promise<{text: string, failures: string[]}>}
 */
async function race(task, contenders) {
  /** @type {Map<string, Result[]>} */
  const runs = new Map(contenders.map(({ name }) => [name, []]));
  for (let repeat = 1; repeat <= task.repeats; repeat++) {
    for (const { name, run } of contenders) {
      const result = await run();
      runs.get(name)?.push(result);
      say(dim(`${task.name}, run ${repeat}: ${name}, ${result.seconds.toFixed(1)} s`));
    }
  }
  const [exact, naive, adaptive] = ['exact', 'naive', 'adaptive'].map(
    (mode) => runs.get(`Espalier, ${mode}`) ?? [],
  );
  /** @type {string[]} */
  const failures = [];
  const rows = [...runs].map(([name, all]) => {
    const agreements = all.map((result, i) => agreement(name, result, exact?.[i], naive?.[i]));
    const worst = agreements.find(({ same }) => !same) ?? agreements[0];
    if (worst?.same === false && name !== 'Espalier, lazy') {
      failures.push(`${task.name}: ${name}: ${worst.text}`);
    }
    const wholes = all.map((result, i) => extrapolate(result, adaptive?.[i]));
    const ratio = median(
      wholes.map(({ seconds }, i) => seconds / (adaptive?.[i]?.seconds ?? Number.NaN)),
    );
    const isCounted = all.some(({ rounds }) => rounds.length < task.remove);
    const cpu = median(all.map(({ cpuSeconds = Number.NaN }) => cpuSeconds)).toFixed(1);
    return [
      ...[isCounted ? `${name}, after ${task.loopRounds} of ${task.remove} rounds` : name],
      ...[wholes[0]?.evaluations, median(wholes.map(({ seconds }) => seconds)).toFixed(1)],
      ...[ratio.toFixed(2), isCounted ? `${cpu} for what ran` : cpu, worst?.text ?? '–'],
    ];
  });
  const { sequences, length, remove, repeats } = task;
  const order =
    (exact?.[0] ?? adaptive?.[0])?.rounds.map(({ removed }) => removed).join(', ') ?? '';
  const lines = [
    `## ${task.name}: ${sequences} × ${length} tokens, ${remove} sublayers removed, ${repeats === 1 ? 'one run' : `${repeats} runs`}`,
    '',
    '| search | sublayer evaluations | seconds | ratio | CPU seconds | order and distances |',
    '|---|--:|--:|--:|--:|---|',
    ...rows.map((row) => `| ${row.join(' | ')} |`),
    '',
    `Order: ${order}.`,
    '',
  ];
  return { text: lines.join('\n'), failures };
}

/**
 * A whole search, from one that ended after some rounds: its seconds by the evaluations of all rounds.
 * @param {Result} result
 * @param {Result | undefined} adaptive
 */
function extrapolate({ seconds, evaluations, rounds }, adaptive) {
  const all = adaptive?.naiveEvaluations;
  return all === undefined || rounds.length === adaptive?.rounds.length
    ? { seconds, evaluations }
    : { seconds: (seconds * all) / evaluations, evaluations: all };
}

/**
 * The naive search is the reference of ours where it ran; the PyTorch loop is that of the exact search.
 * @param {string} name
 * @param {Result} result
 * @param {Result | undefined} exact
 * @param {Result | undefined} naive
 */
function agreement(name, result, exact, naive) {
  if (exact === undefined) {
    return { same: true, text: `starts with ${result.rounds[0]?.removed ?? 'nothing'}` };
  }
  if (name === 'PyTorch loop') {
    const rounds = exact.rounds.slice(0, result.rounds.length);
    const { same, text } = compare({ ...exact, rounds }, result);
    return { same, text: `${text} (exact against it)` };
  }
  if (name === 'Espalier, adaptive') return { same: true, text: common(result, exact) };
  const reference = naive ?? exact;
  return result === reference
    ? { same: true, text: 'the reference of the others' }
    : compare(result, reference, result === exact ? exactTolerance : undefined);
}

/** @param {string} what */
function sayWithout(what) {
  return (/** @type {unknown} */ error) => {
    const reason = error instanceof Error ? error.message : String(error);
    say(`Without ${what}: ${reason}`);
    return undefined;
  };
}
