import {
  boundKey,
  compressedTheta,
  ratiosKey,
  rootSoftplus,
  tableBlocks,
} from '../../models/gguf/deepseek4';
import { gatingKey } from '../../models/gguf/expert-gating';
import { configOfLayerType } from '../../models/parts/rotary';
import type { FolderModel } from './folder-model';
import type { HeaderEntries } from './header-entries';
import { thetaOf } from './rotary-header';

/** What a model says of its blocks whose attention reads compressed runs of tokens (conversion/deepseek.py). */
export function compressedEntries(
  entries: HeaderEntries,
  { architecture, config }: FolderModel,
  blocks: readonly number[],
): void {
  const { compressed, experts, feedforward } = architecture;
  if (compressed === undefined) {
    return;
  }
  const theta = (type: string): number => thetaOf(configOfLayerType(config, type));
  entries.integers(
    ratiosKey,
    blocks.map((block) => compressed(config, block).rate ?? 0),
  );
  entries.float('rope.freq_base', theta('sliding_attention'));
  entries.float(compressedTheta, theta('full_attention'));
  // llama.cpp leaves cosines and sines of this family as they are.
  entries.remove('rope.scaling.attn_factor');
  entries.integer(gatingKey, rootSoftplus);
  entries.flag('expert_weights_norm', true);
  entries.integer(
    tableBlocks,
    blocks.filter((block) => experts?.byToken?.isOf(config, block) === true).length,
  );
  const { limit = 0 } = feedforward.clamped?.(config) ?? {};
  entries.floats(
    boundKey,
    blocks.map(() => limit),
  );
}
