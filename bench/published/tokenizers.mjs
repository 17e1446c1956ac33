/**
 * Ids of published models' tokenizers against llama.cpp, for GGUF files, and the native tokenizers library, for folders: of the
 * bundled texts as they are, and of difficult ones.
 *
 *     node bench/published/tokenizers.mjs      writes TOKENIZERS.md
 */
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { json } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { bundleCore } from '../../scripts/lib/bundle.mjs';
import { root } from '../../scripts/lib/repository.mjs';
import { say } from '../../scripts/lib/terminal.mjs';
import { preparePython, prepareSmolLM2, prepareSmolLM2Gguf } from '../finercut/python.mjs';
import { joinedGemma, llamaCppFolder, unzippedMiniLM } from './models.mjs';

const here = fileURLToPath(new URL('.', import.meta.url));

/** Texts that tokenizers treat differently, by the difficulty. */
const difficult = {
  empty: '',
  'one space': ' ',
  'spaces around': '  two  spaces   three ',
  'line ends': 'a\nb\r\nc\n\n\nd\n \n e',
  tabs: '\tif (x) {\n\t\treturn 1;\t}\n',
  indentation: 'def f(x):\n    if x:\n        return [1, 2,  3]\n',
  'leading punctuation': '...and "so" (on) — he said: «no»!?',
  contractions: "I'm we'll they've CAN'T don’t l'été d'accord",
  numbers: '3.14159 1,000,000 2026-11-29 0x1F 12345678901234567890 ½ ² Ⅷ',
  accents: 'café naïve Ångström żółć İstanbul ẞ',
  'combining accents': 'cafe\u0301 a\u030a n\u0303 \u1e9b\u0323',
  chinese: '我能吞下玻璃而不伤身体。',
  japanese: 'わたしはガラスを食べられます。ｶﾞﾗｽ',
  korean: '나는 유리를 먹을 수 있어요 각',
  thai: 'ฉันกินกระจกได้ แต่มันไม่ทำให้ฉันเจ็บ',
  arabic: 'أنا قادر على أكل الزجاج و هذا لا يؤلمني ـــ',
  hebrew: 'אני יכול לאכול זכוכית וזה לא מזיק לי. שָׁלוֹם',
  hindi: 'मैं काँच खा सकता हूँ और मुझे उससे कोई चोट नहीं पहुंचती',
  emoji: '🙂👍🏽👩‍👩‍👧‍👦🇨🇭❤️',
  'outside of the plane': '𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𠜎𠜱 𐍈',
  'zero width': 'a\u200bb\u200d\u2060c\ufeffd\u00ad',
  'other spaces': 'a\u00a0b\u2003c\u3000d\u2028e\u0085f',
  'control characters': 'a\u0001b\u007fc\u0000d',
  'not a character': 'a\ufffdb\ufffe',
  'long word': 'a'.repeat(300),
  'long run of spaces': `x${' '.repeat(130)}y`,
  'special tokens':
    '<|im_start|>user\nHi<|im_end|>\n<bos><start_of_turn>model<eos>[CLS] [SEP] [MASK] <s></s>',
  'half a special token': '<|im_start user [CLS <bo s>',
  underscore: 'snake_case __init__ ▁ ▁▁ Ġ ##ing',
  'upper case': 'HTTPResponse XMLHttpRequest iPhone ÄÖÜ ΑΣΣ',
  url: 'https://example.org/a?b=c&d=%20#e user@host.example',
};

process.exitCode = await main();

async function main() {
  const python = await preparePython();
  const work = await mkdtemp(join(tmpdir(), 'espalier-tokenizers-'));
  try {
    const program = join(work, 'core.cjs');
    await bundleCore(join(here, 'tokenizers.ts'), program);
    const bundled = await Promise.all(
      ['held-out', 'calibration'].map(async (name) => [
        `${name}.txt`,
        await readFile(join(root, 'samples', `${name}.txt`), 'utf8'),
      ]),
    );
    /** @type {[string, string][]} */
    const texts = [...bundled, ...Object.entries(difficult)].map(([name = '', text = '']) => [
      name,
      text,
    ]);
    const rows = [];
    for (const model of await models(python)) {
      const native = await idsBy(model.peer, texts);
      const own = await idsBy(
        {
          program: process.execPath,
          args: [program],
          wrap: { model: model.path, isPlain: model.isPlain },
        },
        texts,
      );
      const others = texts.flatMap(([name], i) =>
        String(own[i]) === String(native[i]) ? [] : [name],
      );
      rows.push([
        model.name,
        model.peer.name,
        `${native[0]?.length}, ${native[1]?.length}`,
        others.join(', '),
      ]);
      say(rows.at(-1)?.join(' | ') ?? '');
    }
    await writeFile(join(here, 'TOKENIZERS.md'), describe(rows, texts.length));
    return rows.every((row) => row.at(-1) === '') ? 0 : 1;
  } finally {
    await rm(work, { recursive: true });
  }
}

/** @param {string} python */
async function models(python) {
  const tools = await llamaCppFolder();
  const llama = (/** @type {string} */ file) => ({
    name: 'llama.cpp',
    program: process.execPath,
    args: [join(here, 'tokenize-gguf.mjs'), tools, file],
  });
  const library = (/** @type {string} */ folder) => ({
    name: 'tokenizers',
    program: python,
    args: [join(here, 'tokenize_folder.py'), join(folder, 'tokenizer.json')],
  });
  const [smol, gemma] = [await prepareSmolLM2Gguf(python), await joinedGemma(python)];
  const folders = {
    'SmolLM2-135M-Instruct': await prepareSmolLM2(python),
    'all-MiniLM-L6-v2': dirname(await unzippedMiniLM(python)),
  };
  return [
    { name: 'SmolLM2-135M-Instruct Q4_1', path: smol, isPlain: true, peer: llama(smol) },
    { name: 'gemma-3-270m Q4_K_M', path: gemma, isPlain: true, peer: llama(gemma) },
    ...Object.entries(folders).map(([name, path]) => ({
      name,
      path,
      isPlain: false,
      peer: library(path),
    })),
  ];
}

/**
 * @param {{program: string, args: string[], wrap?: object}} peer
 * @param {readonly [string, string][]} texts
 * @returns {Promise<number[][]>}
 */
async function idsBy({ program, args, wrap }, texts) {
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const list = texts.map(([, text]) => text);
  child.stdin.end(JSON.stringify(wrap === undefined ? list : { ...wrap, texts: list }));
  return /** @type {Promise<number[][]>} */ (json(child.stdout));
}

/**
 * @param {readonly string[][]} rows
 * @param {number} count
 */
function describe(rows, count) {
  return `# Tokenizers of published models

\`node bench/published/tokenizers.mjs\`: ids of ${count} texts, the bundled \`held-out.txt\` and \`calibration.txt\` as wholes and
${count - 2} difficult ones, against llama.cpp for GGUF files and the native tokenizers library for folders.

| model | against | ids of the bundled texts | texts with other ids |
| --- | --- | --- | --- |
${rows.map((row) => `| ${row.join(' | ')} |`).join('\n')}
`;
}
