/**
 * Espalier's quantization against llama.cpp's at the same types, bytes, and importance matrix, and types chosen by
 * measured sensitivity against llama.cpp's mixes and the rule of its pull request 15550. Prints Markdown tables of the
 * KL divergence from the original on two thirds of the bundled held-out text with 95 % intervals. Run `npm run build` first.
 *
 *     node bench/league/run.mjs MODEL FOLDER --llama BIN [--python PYTHON] [--types Q4_0,Q4_K_M] [--mixes Q4_K_M]
 *         [--judged Q4_0] [--pure Q8_0,Q6_K] [--domains Q4_K_M]
 *
 * FOLDER keeps files and finished rows, and the same command resumes.
 * --llama: folder with llama-quantize, llama-perplexity.
 * --python: needs gguf; without it, the rule of the pull request is left out.
 * --types: compared by rounding. --mixes: their bytes are limits for chosen types. --judged: types whose files are also
 * judged by llama-perplexity. --pure: types to choose from. --domains: types that are also compared on the bundled prose,
 * code, dialogue and non-Latin scripts, one after the other.
 */
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { capture } from '../../scripts/lib/processes.mjs';
import { root } from '../../scripts/lib/repository.mjs';
import { dim, say } from '../../scripts/lib/terminal.mjs';
import { cli, espalier, isBuilt } from '../lib/espalier.mjs';
import { json } from '../lib/json.mjs';
import { describeSource } from '../lib/source-types.mjs';

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    llama: { type: 'string', default: '' },
    python: { type: 'string' },
    types: { type: 'string', default: 'Q4_0,IQ4_NL,Q5_0,Q4_K_M,Q3_K_M,Q2_K' },
    mixes: { type: 'string', default: 'Q4_K_M,Q3_K_M' },
    judged: { type: 'string', default: 'Q4_0,Q4_K_M' },
    domains: { type: 'string', default: 'Q4_K_M,Q3_K_M' },
    pure: { type: 'string', default: 'Q8_0,Q6_K,Q5_K,Q4_K,Q4_0,IQ4_XS,Q3_K,Q2_K' },
  },
});
const [model = '', folder = ''] = positionals.map((path) => resolve(path));
const calibration = ['--sequences', '32', '--length', '256'];
const at = (/** @type {string} */ name) => join(folder, name);
const source = at('float');
const importance = at('model.imatrix.gguf');
const testText = at('held-out.txt');

/** @typedef {{value: number, low: number, high: number}} Interval */
/**
 * @typedef {{name: string, bytes: number, kl: Interval, top: number, tokens: number, cpuSeconds?: number | undefined,
 *     isSame?: boolean}} Row
 */

process.exitCode = await main();

async function main() {
  if (!isBuilt()) return 1;
  await mkdir(folder, { recursive: true });
  await writeFile(testText, await readHeldOut());
  if (!existsSync(source)) {
    await espalier(['convert', model, '--format', 'gguf', '--no-quality', '--out', source]);
  }
  if (!existsSync(importance)) {
    await espalier(['imatrix', model, ...calibration, '--out', importance]);
  }
  // Rows that are compared with each other first, so that a run that is stopped has whole comparisons.
  const types = splitNames(options.types);
  for (const type of types) await measureRounding(type);
  const mixes = [];
  for (const mix of splitNames(options.mixes)) mixes.push(...(await compareMixes(mix)));
  const rounding = [];
  for (const type of types) rounding.push(await compareRounding(type));
  const domains = [];
  for (const type of splitNames(options.domains)) domains.push(...(await compareDomains(type)));
  say(
    [
      await describeSource(model),
      `${mixes[0]?.tokens ?? rounding[0]?.tokens ?? 0} tokens of held-out text.`,
      ...[
        '',
        '| type | bytes | llama.cpp | with imatrix | ours, with imatrix | ours, feedback | change |',
      ],
      '|---|--:|--:|--:|--:|--:|--:|',
      ...rounding.map(({ line }) => line),
      ...['', '| types | bytes | KL | top-1 agreement |', '|---|--:|--:|--:|'],
      ...mixes.map(
        ({ name, bytes, kl, top }) => `| ${name} | ${bytes} | ${show(kl)} | ${percent(top)} |`,
      ),
      ...['', '| type | domain | tokens | llama.cpp, with imatrix | feedback | change |'],
      ...['|---|---|--:|--:|--:|--:|', ...domains],
      ...['', ...(await judge())],
    ].join('\n'),
  );
  return 0;
}

/** Two of three paragraphs of the bundled held-out text: more than 20,000 tokens of all its kinds. */
async function readHeldOut() {
  const text = await readFile(join(root, 'samples', 'held-out.txt'), 'utf8');
  const paragraphs = text.split('\n').filter((_, i) => i % 3 !== 2);
  return `${paragraphs.join('\n')}\n`;
}

/**
 * Rows of a type by the same importance matrix: llama.cpp's, ours by importance, and ours by error feedback.
 * @param {string} type
 */
async function measureRounding(type) {
  const weighted = await measure(`llama-${type}-imatrix`, async (file) =>
    quantize(type, file, '--imatrix', importance),
  );
  const ours = await measure(
    `ours-${type}-imatrix`,
    async (file) => convert(type, 'importance', file),
    weighted,
  );
  const feedback = await measure(`ours-${type}-feedback`, async (file) =>
    convert(type, 'feedback', file),
  );
  return { weighted, ours, feedback };
}

/** @param {string} type */
async function compareRounding(type) {
  const { weighted, ours, feedback } = await measureRounding(type);
  const theirs = await measure(`llama-${type}`, async (file) => quantize(type, file));
  const best = theirs.kl.value < weighted.kl.value ? theirs : weighted;
  const line = [
    ...[
      type,
      feedback.bytes,
      show(theirs.kl),
      show(weighted.kl),
      ours.isSame === true ? 'same bytes' : show(ours.kl),
      show(feedback.kl),
    ],
    `${change(weighted, feedback)}${best === theirs ? ` (${change(theirs, feedback)} to plain)` : ''}`,
  ].join(' | ');
  return { line: `| ${line} |`, tokens: feedback.tokens };
}

/**
 * Lines of a table of a type by domain.
 * @param {string} type
 */
async function compareDomains(type) {
  await measureRounding(type);
  const weighted = await measureDomains(`llama-${type}-imatrix`);
  const feedback = await measureDomains(`ours-${type}-feedback`);
  return feedback.map(({ domain, tokens, kl }, i) => {
    const before = weighted[i]?.kl ?? kl;
    const cells = [type, domain, tokens, show(before), show(kl), change({ kl: before }, { kl })];
    return `| ${cells.join(' | ')} |`;
  });
}

/**
 * KL of a written file on each bundled domain.
 * @param {string} name
 * @returns {Promise<{domain: string, tokens: number, kl: Interval}[]>}
 */
async function measureDomains(name) {
  const known = at(`${name}.domains.json`);
  if (!existsSync(known)) {
    const file = await ggufAt(at(name));
    const found = await espalier([
      'evaluate',
      file,
      '--against',
      model,
      '--domains',
      '--whole-text',
    ]);
    await writeFile(known, JSON.stringify(found.domains));
  }
  const rows = JSON.parse(await readFile(known, 'utf8'));
  return rows.map(
    (/** @type {{domain: string, tokens: number, klDivergence: Interval}} */ row) => ({
      domain: row.domain,
      tokens: row.tokens,
      kl: row.klDivergence,
    }),
  );
}

/**
 * Types chosen for the bytes of a mix.
 * @param {string} mix
 * @returns {Promise<Row[]>}
 */
async function compareMixes(mix) {
  const rows = [];
  const their = `llama-${mix}-imatrix`;
  const base = await measure(their, async (file) => quantize(mix, file, '--imatrix', importance));
  rows.push({ ...base, name: `${mix}, llama.cpp` });
  const feedback = await measure(`ours-${mix}-feedback`, async (file) =>
    convert(mix, 'feedback', file),
  );
  rows.push({ ...feedback, name: `${mix}, feedback` });
  const plans = [];
  if (options.python !== undefined) {
    const plan = at(`${mix}-15550.plan.json`);
    if (!existsSync(plan)) await chooseByError(plan, await tensorBytes(await ggufAt(at(their))));
    plans.push({ name: "pull request 15550's rule", plan, id: `15550-${mix}` });
    const fixed = at(`${mix}-15550-mix.plan.json`);
    if (!existsSync(fixed)) {
      const mixed = await ggufAt(at(their));
      await chooseByError(fixed, await tensorBytes(mixed), '--mix', mixed);
    }
    const name = "pull request 15550's rule, embedding and head as in the mix";
    plans.push({ name, plan: fixed, id: `15550-mix-${mix}` });
  }
  const plan = at(`${mix}-measured.plan.json`);
  if (!existsSync(plan)) await chooseByMeasurement(plan, base.bytes);
  plans.push({ name: 'measured sensitivity', plan, id: `measured-${mix}` });
  for (const { name, plan: file, id } of plans) {
    for (const how of ['importance', 'feedback']) {
      const row = await measure(`${id}-${how}`, async (out) => apply(file, how, out));
      rows.push({ ...row, name: `${mix}'s bytes by ${name}, ${how}` });
    }
  }
  return rows;
}

/**
 * Writes a file and compares it with the original, unless its row is known.
 * @param {string} name
 * @param {(file: string) => Promise<number | undefined>} write gives seconds of processor time
 * @param {Row} [other] row of a file that may have the same tensors, and then the same numbers
 * @returns {Promise<Row>}
 */
async function measure(name, write, other) {
  const known = at(`${name}.row.json`);
  if (existsSync(known)) return JSON.parse(await readFile(known, 'utf8'));
  const cpuSeconds = await write(at(name));
  const path = await ggufAt(at(name));
  if (other !== undefined && (await hasSameTensors(path, await ggufAt(at(other.name))))) {
    const row = { ...other, name, cpuSeconds, isSame: true };
    await writeFile(known, JSON.stringify(row));
    say(dim(`${name}: the same bytes as ${other.name}`));
    return row;
  }
  const found = await espalier([
    ...['evaluate', path, '--against', model, '--text', testText, '--whole-text'],
  ]);
  const { size: bytes } = await stat(path);
  const { klDivergence: kl, agreement, tokens } = found;
  const row = { name, bytes, kl, top: agreement.value, tokens, cpuSeconds };
  await writeFile(known, JSON.stringify(row));
  say(dim(`${name}: ${bytes} bytes, KL ${show(kl)}`));
  return row;
}

/**
 * @param {string} type
 * @param {string} out path of the file without its extension
 * @param {readonly string[]} how
 */
async function quantize(type, out, ...how) {
  const files = [await ggufAt(source), `${out}.gguf`];
  await captureOutput(join(options.llama, 'llama-quantize'), [...how, ...files, type, '1']);
  return undefined;
}

/**
 * @param {string} type
 * @param {string} how
 * @param {string} out
 */
async function convert(type, how, out) {
  return write(['convert', model, '--type', type], how, out);
}

/**
 * @param {string} plan
 * @param {string} how
 * @param {string} out
 */
async function apply(plan, how, out) {
  return write(['apply', plan, '--model', model], how, out);
}

/**
 * @param {readonly string[]} command
 * @param {string} how
 * @param {string} out
 */
async function write(command, how, out) {
  const { cpuSeconds } = await json(process.execPath, [
    ...[cli, ...command, '--format', 'gguf', '--imatrix', importance, '--rounding', how],
    ...(how === 'feedback' ? calibration : []),
    ...['--no-quality', '--overwrite', '--out', out, '--json'],
  ]);
  return cpuSeconds;
}

/**
 * @param {string} plan
 * @param {number} limit bytes of the file
 */
async function chooseByMeasurement(plan, limit) {
  const profile = at('model.sensitivity.json');
  if (!existsSync(profile)) {
    const methods = splitNames(options.pure).map((type) => `gguf:${type}`);
    await espalier([
      ...['sensitivity', model, '--methods', methods.join(','), '--embeddings', '--head'],
      ...['--metric', 'kl', '--out', profile],
    ]);
  }
  await espalier([
    ...['plan-compression', model, '--sensitivity', profile, '--embeddings', '--head'],
    ...['--limits', `bytes<${limit}`, '--out', plan],
  ]);
}

/**
 * @param {string} plan
 * @param {number} limit bytes of tensors
 * @param {readonly string[]} how
 */
async function chooseByError(plan, limit, ...how) {
  const files = [];
  for (const type of splitNames(options.pure)) {
    const file = at(`pure-${type}`);
    const mix = /^Q[345]_K$/.test(type) ? `${type}_S` : type;
    if (!existsSync(`${file}.gguf`)) await quantize(mix, file, '--pure', '--imatrix', importance);
    files.push(`${file}.gguf`);
  }
  await captureOutput(options.python ?? '', [
    ...[join(root, 'bench', 'league', 'choose_types.py'), await ggufAt(source), importance],
    ...[String(limit), plan, ...files, ...how],
  ]);
}

/**
 * Runs a program quietly and gives its output.
 * @param {string} file
 * @param {readonly string[]} args
 */
async function captureOutput(file, args) {
  const { code, output } = await capture(file, [...args], { quiet: true });
  if (code !== 0) throw new Error(`${file} ended with ${code}:\n${output}`);
  return output;
}

/** KL divergence by llama-perplexity, next to ours on the same windows. */
async function judge() {
  const perplexity = join(options.llama, 'llama-perplexity');
  const base = at('base.kld');
  const common = ['-f', testText, '-c', '256', '-t', '1', '--kl-divergence-base', base];
  if (!existsSync(base)) await captureOutput(perplexity, ['-m', await ggufAt(source), ...common]);
  const lines = ['| file | KL by llama-perplexity | ours on its base file |', '|---|--:|--:|'];
  for (const type of splitNames(options.judged)) {
    for (const name of [`llama-${type}-imatrix`, `ours-${type}-feedback`]) {
      const file = await ggufAt(at(name));
      const known = at(`${name}.judged.json`);
      if (!existsSync(known)) {
        const text = await captureOutput(perplexity, ['-m', file, ...common, '--kl-divergence']);
        const [, value = '', error = ''] = /Mean +KLD: +(\S+) ± +(\S+)/.exec(text) ?? [];
        const { klDivergence } = await espalier(['evaluate', file, '--base', base]);
        await writeFile(known, JSON.stringify({ value, error, klDivergence }));
      }
      const { value, error, klDivergence } = JSON.parse(await readFile(known, 'utf8'));
      lines.push(`| ${name} | ${value} ± ${error} | ${show(klDivergence)} |`);
    }
  }
  return lines;
}

/** @param {string} path of a folder with a GGUF file, or of the file without its extension */
async function ggufAt(path) {
  if (!existsSync(path)) return `${path}.gguf`;
  const names = await readdir(path);
  return join(path, names.find((name) => name.endsWith('.gguf')) ?? '');
}

/** @param {string} file */
async function tensorBytes(file) {
  const { totals } = await espalier(['tensors', file]);
  return totals.bytes;
}

/**
 * True if two files have the same tensors, in types and bytes.
 * @param {string} one
 * @param {string} other
 */
async function hasSameTensors(one, other) {
  const script = join(root, 'bench', 'league', 'same_tensors.py');
  if (options.python === undefined) return false;
  return (await captureOutput(options.python, [script, one, other])).trim() === 'True';
}

/** @param {string} names */
function splitNames(names) {
  return names.split(',').filter((name) => name !== '');
}

/** @param {Interval} interval */
function show({ value, low, high }) {
  return `${value.toPrecision(3)} (${low.toPrecision(3)} to ${high.toPrecision(3)})`;
}

/** @param {number} share */
function percent(share) {
  return `${(100 * share).toFixed(1)} %`;
}

/**
 * @param {Pick<Row, 'kl'>} before
 * @param {Pick<Row, 'kl'>} after
 */
function change(before, after) {
  const share = after.kl.value / before.kl.value - 1;
  return `${share < 0 ? '−' : '+'}${Math.abs(100 * share).toFixed(0)} %`;
}
