import type { Capabilities } from '../../core/models/capabilities';
import type { ModelSummary } from '../../core/models/model-summary';

/** Type that most of the weights are stored in, such as `F16` or `Q4_K`. */
export function mainType({
  dtypes,
  quantization,
}: Pick<ModelSummary, 'dtypes' | 'quantization'>): string {
  const [most] = Object.entries(dtypes).sort(([, a], [, b]) => b - a);
  return quantization?.method ?? most?.[0] ?? '';
}

/** Abilities that menus depend on. */
export const menuWords = ['generate', 'evaluate', 'profile', 'compress', 'repair'] as const;
export type MenuWord = (typeof menuWords)[number];

/** Abilities of a model that menus depend on. */
export function listMenuWords(capabilities: Capabilities): MenuWord[] {
  const { generate, evaluate, repair, compress, run } = capabilities;
  const { removeBlocks, removeAttention, removeFeedforward } = capabilities;
  const able: Readonly<Record<MenuWord, boolean>> = {
    generate: generate.able,
    evaluate: evaluate.able,
    profile: run.able && (removeBlocks.able || removeAttention.able || removeFeedforward.able),
    // GGUF files are compressed by types, blocks and experts.
    compress: compress.able || compress.code === 'keeps-own-packing',
    repair: repair.able,
  };
  return menuWords.filter((word) => able[word]);
}

/** Context value that menus of tree views test: `model`, and the actions that the model supports. */
export const modelContext = (capabilities: Capabilities): string =>
  ['model', ...listMenuWords(capabilities)].join(' ');

/** A model as menus outside of the side bar know it. */
export interface KnownModel {
  readonly paths: readonly string[];
  /** Undefined for a model that can't be opened. */
  readonly words: readonly MenuWord[] | undefined;
}

/**
 * Context keys of menus outside of the side bar, with the paths of models for which an entry is not offered. A model that
 * can't be opened is in all of them, also in `everything`.
 */
export function pathsWithout(models: readonly KnownModel[]): Readonly<Record<string, string[]>> {
  const listPaths = (isOne: (model: KnownModel) => boolean): string[] =>
    models.filter(isOne).flatMap(({ paths }) => paths);
  return Object.fromEntries([
    ['espalier.without.everything', listPaths(({ words }) => words === undefined)],
    ...menuWords.map((word) => [
      `espalier.without.${word}`,
      listPaths(({ words }) => words?.includes(word) !== true),
    ]),
  ]) as Readonly<Record<string, string[]>>;
}
