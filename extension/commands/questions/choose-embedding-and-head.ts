import { l10n } from 'vscode';
import type { QuickPickItem } from 'vscode';
import type { EmbeddingOrHeadPlace } from '../../core/models/matrix-encoding';
import type { ModelSummary } from '../../core/models/model-summary';
import { embeddingMethods } from '../../core/tensornet/compression-choice';
import type { CompressionRequest } from '../../core/tensornet/compression-choice';
import { choose } from './ask';

interface OuterOptions {
  /** True if a tied head can be stored in addition to the embedding. */
  readonly unties: boolean;
  /** Predicted size with a choice, if it can be predicted. */
  readonly predictSize?: (places: readonly EmbeddingOrHeadPlace[]) => Promise<string>;
}

type Item = QuickPickItem & { readonly places: readonly EmbeddingOrHeadPlace[] };

/**
 * Asks whether to compress embedding and head; image models have no token embedding. If both are tied, only the head is
 * offered, if it can be stored separately.
 */
export async function chooseEmbeddingAndHead(
  title: string,
  { tiedHead, vocabularySize }: ModelSummary,
  compressions: readonly CompressionRequest[],
  { unties, predictSize }: OuterOptions,
): Promise<readonly EmbeddingOrHeadPlace[] | undefined> {
  const isRounded = compressions.some(
    ({ method, then }) => embeddingMethods.some((name) => name === method) || then !== undefined,
  );
  if (!isRounded || vocabularySize === undefined) {
    return [];
  }
  const isTied = tiedHead === true;
  const head: Item = {
    label: l10n.t('The head as well'),
    detail: isTied
      ? l10n.t(
          'It is then stored in addition to the embedding: more bytes, but fewer to read per token.',
        )
      : l10n.t('The largest matmul of a small model.'),
    places: ['head'],
  };
  const embedding: Item = {
    label: l10n.t('The embedding as well'),
    detail: l10n.t("Fewer bytes; matmuls aren't faster."),
    places: ['embedding'],
  };
  const rows: Item[] = [
    { label: l10n.t('Only the layers of the blocks'), places: [] },
    {
      label: l10n.t('Also embedding and head'),
      detail: isTied
        ? l10n.t('They are one matrix in this model, which is stored once.')
        : l10n.t('The embedding stores integers, and the head multiplies by them.'),
      places: ['embedding', 'head'],
    },
    ...(isTied && !unties ? [] : [head]),
    ...(isTied ? [] : [embedding]),
  ];
  const items =
    predictSize === undefined
      ? rows
      : await Promise.all(
          rows.map(async (row) => ({ ...row, description: await predictSize(row.places) })),
        );
  const chosen = await choose(items, {
    title,
    placeHolder: l10n.t('Also compress embedding and head?'),
  });
  return chosen?.places;
}
