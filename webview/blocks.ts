import { counted } from './counted';
import { formatCount } from './format';
import { t } from './translate';

/** Blocks of a model, and how many of them, the first ones, are an encoder's before a decoder. */
export interface BlockCounts {
  readonly blocks: number;
  readonly encoderBlocks?: number | undefined;
}

/** `12 blocks`, or `5 blocks (3 of the encoder, 2 of the decoder)` */
export function formatBlocks({ blocks, encoderBlocks }: BlockCounts): string {
  const all = counted(formatCount(blocks), 'block');
  return encoderBlocks === undefined
    ? all
    : t(
        '{0} ({1} of the encoder, {2} of the decoder)',
        all,
        formatCount(encoderBlocks),
        formatCount(blocks - encoderBlocks),
      );
}

/** `Block 3`, or `Block 3 (decoder)` */
export function blockName(block: number, encoderBlocks: number | undefined): string {
  if (encoderBlocks === undefined) return t('Block {0}', block);
  return block < encoderBlocks ? t('Block {0} (encoder)', block) : t('Block {0} (decoder)', block);
}
