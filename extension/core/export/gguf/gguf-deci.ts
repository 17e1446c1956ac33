import type { GgufFile } from '../../models/gguf/gguf-file';
import { ggufSizes } from '../../models/gguf/gguf-model';
import { sizesAfter, unevenWidth } from './gguf-sizes';
import type { GgufLayout } from './gguf-writer';
import type { Changes } from '../changes';

/** `general.architecture` of the models of llama.cpp whose blocks may lack sublayers. */
export const deciArchitecture = 'deci';

/** Families that become `deci` models. */
export const deciFamilies: readonly string[] = ['llama', 'nemotron-nas'];

/** True if the remaining blocks differ, so that an ordinary model can't represent them. */
export function needsDeci(changes: Changes): boolean {
  return changes.absent.length > 0 || unevenWidth(changes) !== undefined;
}

/** The header's sizes as lists, 0 where a block lacks a sublayer. */
export async function deciLayout(file: GgufFile, changes: Changes): Promise<GgufLayout> {
  return {
    blocks: changes.blocks,
    architecture: deciArchitecture,
    lists: sizesAfter(await ggufSizes(file), changes),
  };
}
