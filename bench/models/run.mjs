/**
 * Capabilities of every declared family, measured on a tiny random model each: opened, run against transformers, written without
 * sublayers or a block in every way that it can be, and opened again. Writes results.json, from which scripts/generate.mjs makes
 * docs/reference/models.md. Models are those of test/fixtures; the others are made first, in the user's cache folder.
 *
 *     node bench/models/run.mjs [MODEL ...]      everything, or these folders and files alone
 */
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join, relative, sep } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { bundleCore } from '../../scripts/lib/bundle.mjs';
import { cached, cacheFolder } from '../../scripts/lib/cache.mjs';
import { capture, run } from '../../scripts/lib/processes.mjs';
import { root } from '../../scripts/lib/repository.mjs';
import { say } from '../../scripts/lib/terminal.mjs';
import { modelResults, resultsFile } from '../../scripts/lib/model-results.mjs';
import { preparePython } from '../finercut/python.mjs';

/** @typedef {import('./measure').Row} Row */
/** @typedef {import('../../scripts/lib/model-results.mjs').ModelResult} ModelResult */

const here = fileURLToPath(new URL('.', import.meta.url));
const fixtures = join(root, 'test', 'fixtures');
const tinyModels = join(fixtures, 'tiny_models.py');
/** Folders of test/fixtures that hold a model each, and those of GGUF files. */
const folders = ['models', 'families', 'encoders', 'seq2seq', 'stages', 'quantized'];
const files = ['gguf', 'gguf-encoders', 'gguf-t5'];
/** Models that test/fixtures lacks, by the task of tiny_models.py. */
const others = {
  causal:
    'apertus1p5_text aria_text axk1 bart bert-generation bigbird_pegasus blenderbot flint git llama-wide marian mbart mimo_v2_flash-unbiased mvp openai-gpt pegasus plbart sarvam_mla trocr xglm',
  masked:
    'big_bird eurobert ibert jina_embeddings_v3 longformer luke modernvbert roformer tapas ultrabert ultravbert xlm-roberta-xl',
  image: 'data2vec-vision dinov2 ijepa metaclip_2 vit_msn',
};
/** Begins the name of the folder in the cache that has a folder of models by task. */
const madeFolder = 'bench-models-';
/** Small models wait for files more than they compute. */
const processes = 4;

await main(process.argv.slice(2));

/** @param {string[]} asked */
async function main(asked) {
  const other = asked.find((source) => !isKnown(source));
  if (other !== undefined) {
    throw new Error(
      `${other} is neither in test/fixtures nor made by tiny_models.py in ${cacheFolder()}`,
    );
  }
  const work = await mkdtemp(join(tmpdir(), 'espalier-models-'));
  try {
    const program = join(work, 'measure.cjs');
    await bundleCore(join(here, 'measure.ts'), program);
    const sources = asked.length > 0 ? asked : [...(await committed()), ...(await made())];
    const parts = await Promise.all(
      Array.from({ length: processes }, async (_, part) => {
        const folder = join(work, String(part));
        await mkdir(folder);
        const own = sources.filter((_source, i) => i % processes === part);
        const { output } = await capture(process.execPath, [program, folder, ...own], {
          quiet: true,
        });
        return output.split('\n').filter((line) => line.startsWith('{'));
      }),
    );
    /** @type {Row[]} */
    const rows = parts.flat().map((line) => JSON.parse(line));
    for (const { source, failure } of rows) if (failure !== undefined) say(`${source}: ${failure}`);
    const known = asked.length === 0 ? [] : await modelResults();
    await writeFile(resultsFile, text([...known, ...rows.flatMap(makeResult)]));
    process.exitCode = rows.some(({ failure }) => failure !== undefined) ? 1 : 0;
  } finally {
    await rm(work, { recursive: true });
  }
}

async function committed() {
  const found = [...folders, ...files].map(async (folder) => {
    const names = await readdir(join(fixtures, folder));
    const models = files.includes(folder)
      ? names.filter(
          (name) => name.endsWith('.gguf') && names.includes(name.replace(/gguf$/, 'bin')),
        )
      : names.filter((name) => !name.includes('.'));
    return models.map((name) => join(fixtures, folder, name));
  });
  return (await Promise.all(found))
    .flat()
    .filter((path) => !/\/(tokenizer|blocks)[^/]*$/.test(path));
}

async function made() {
  const python = await preparePython();
  const key = createHash('sha256')
    .update(await readFile(tinyModels))
    .update(JSON.stringify(others))
    // Its folder's name holds the hash of what is installed there.
    .update(relative(cacheFolder(), python))
    .digest('hex')
    .slice(0, 12);
  const folder = await cached(`${madeFolder}${key}`, async (into) => {
    for (const [task, types] of Object.entries(others)) {
      const args = [tinyModels, join(into, task), task, ...types.split(' ')];
      await run(python, args, { quiet: true });
    }
  });
  return Object.entries(others).flatMap(([task, types]) =>
    types.split(' ').map((type) => join(folder, task, type)),
  );
}

/**
 * @param {Row} row
 * @returns {ModelResult[]}
 */
function makeResult({ source, kind, family, matchingFields, headClasses, error, written = {} }) {
  if (kind === undefined || family === undefined || error === undefined) return [];
  const targets = Object.entries(written).map(([target, found]) => [
    target,
    { ...found, error: rounded(found.error) },
  ]);
  return [
    {
      // // JSON omits undefined fields.
      ...{
        model: modelName(source),
        kind,
        family,
        matchingFields,
        headClasses,
        error: rounded(error),
      },
      written: Object.fromEntries(targets),
    },
  ];
}

/**
 * A line for each model; of two with one name the last counts.
 * @param {readonly ModelResult[]} results
 */
function text(results) {
  const byName = new Map(results.map((result) => [result.model, result]));
  const lines = [...byName.keys()].sort().map((name) => `  ${JSON.stringify(byName.get(name))}`);
  return `[\n${lines.join(',\n')}\n]\n`;
}

/** @param {number} error */
function rounded(error) {
  return Number(error.toPrecision(2));
}

/** @param {string} source */
function isKnown(source) {
  const [first = ''] = relative(cacheFolder(), source).split(sep);
  return first.startsWith(madeFolder) || !relative(fixtures, source).startsWith('..');
}

/** @param {string} source */
function modelName(source) {
  const name = relative(fixtures, source).replaceAll('\\', '/');
  return name.startsWith('..') ? `tiny_models.py ${basename(source)}` : name;
}
