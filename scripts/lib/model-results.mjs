import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { root } from './repository.mjs';

/**
 * Result of bench/models/run.mjs for a model.
 * @typedef {{
 *   model: string,
 *   kind: Kind,
 *   family: string,
 *   matchingFields?: Readonly<Record<string, unknown>> | undefined,
 *   headClasses?: readonly string[] | undefined,
 *   error: number,
 *   written: Record<string, Written>,
 * }} ModelResult
 * model: below test/fixtures, or `tiny_models.py NAME`; family: its `model_type` as declared, or the architecture of a GGUF file;
 * matchingFields, headClasses: what tells it from another declared with that `model_type`;
 * error: max |a − b| / max |b| of its output against that of transformers; written: by format and layout.
 *
 * @typedef {'decoder' | 'encoder' | 'encoder-decoder' | 'stages' | 'graph' | 'gguf'} Kind
 * @typedef {import('../../bench/models/measure').Written} Written
 *
 * Results of a family, over its models.
 * @typedef {{models: string[], error: number, written: Map<string, Written>}} FamilyResult
 */

export const resultsFile = join(root, 'bench', 'models', 'results.json');

/**
 * A family as it is declared.
 * @typedef {{modelType: string} & Pick<ModelResult, 'matchingFields' | 'headClasses'>} Family
 *
 * Why folders of a family that has a name in GGUF were not written so: llama.cpp computes another value of a field.
 * @typedef {{kind: Kind, family: string, field: string, reason: string}} NotWritten
 */

/** @returns {Promise<NotWritten[]>} */
export async function notWrittenAsGguf() {
  return JSON.parse(await readFile(join(root, 'bench/models/not-written-as-gguf.json'), 'utf8'));
}

/** @returns {Promise<ModelResult[]>} */
export async function modelResults() {
  return JSON.parse(await readFile(resultsFile, 'utf8'));
}

/**
 * @param {ModelResult} result
 * @returns {Family}
 */
export function makeFamily({ family, matchingFields, headClasses }) {
  return { modelType: family, matchingFields, headClasses };
}

/** @param {Family} family */
function familyKey({ modelType, matchingFields, headClasses }) {
  return JSON.stringify([modelType, matchingFields, headClasses]);
}

/** From the most that a target can express to the least. */
const cuts = ['sublayers', 'block', 'nothing'];

/**
 * Results of all models of a family.
 * @param {readonly ModelResult[]} results
 * @param {Kind} kind
 * @param {Family} family
 * @returns {FamilyResult | undefined}
 */
export function familyResult(results, kind, family) {
  const own = results.filter(
    (one) => one.kind === kind && familyKey(makeFamily(one)) === familyKey(family),
  );
  /** @type {FamilyResult['written']} */
  const written = new Map();
  for (const [target, found] of own.flatMap((one) => Object.entries(one.written))) {
    const name = kind === 'gguf' ? target : target.replace('safetensors ', '');
    written.set(name, larger(written.get(name), found));
  }
  return own.length === 0
    ? undefined
    : {
        models: own.map(({ model }) => model),
        error: Math.max(...own.map(({ error }) => error)),
        written,
      };
}

/**
 * Results of a GGUF architecture: the error of reading its files, or of files written from folders
 * if there are no fixtures, and the changes with which files and folders were written.
 * @param {readonly ModelResult[]} results
 * @param {string} name
 * @returns {{read: number, written: FamilyResult['written']} | undefined}
 */
export function ggufResult(results, name) {
  const own = familyResult(results, 'gguf', { modelType: name });
  const made = results
    .filter(({ kind }) => kind !== 'gguf')
    .flatMap((one) => Object.entries(one.written))
    .filter(([, { as }]) => as === name);
  const exact = made.filter(([, { tolerance }]) => tolerance === undefined);
  const errors =
    own === undefined
      ? (exact.length === 0 ? made : exact).map(([, { error }]) => error)
      : [own.error];
  /** @type {FamilyResult['written']} */
  const written = new Map();
  for (const [target, found] of [...(own?.written ?? []), ...made]) {
    const layout = target.replace('gguf ', '');
    written.set(layout, larger(written.get(layout), found));
  }
  return errors.length === 0 ? undefined : { read: Math.max(...errors), written };
}

/**
 * The most that two results express, and the larger error.
 * @param {Written | undefined} a
 * @param {Written} b
 * @returns {Written}
 */
export function larger(a, b) {
  if (a === undefined) return b;
  const { without } = cuts.indexOf(a.without) < cuts.indexOf(b.without) ? a : b;
  return { ...b, without, error: Math.max(a.error, b.error) };
}
