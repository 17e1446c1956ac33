import { linearRoles } from '../models/matrix-encoding';
import type { EmbeddingOrHeadPlace } from '../models/matrix-encoding';
import { UserError } from '../user-error';
import { flag, group, list } from './fields';
import type { RequestOf } from './fields';
import { say } from '../message';

/** Fields that select linear layers. */
export const layerFields = group('Layers', {
  roles: list({
    description: 'Roles of linear layers',
    choices: linearRoles,
    fallback: 'all',
    placeholder: 'ROLE,…',
  }),
  blocks: list({
    description: 'Block numbers, from 0',
    form: { pattern: /^\d+(-\d+)?$/, takes: say`numbers and ranges such as 0-3,7` },
    fallback: 'all',
    placeholder: 'N,…',
  }),
  embeddings: flag({ description: 'Include the token embedding', default: false }),
  head: flag({ description: 'Include the LM head', default: false }),
});

export const layerNames = Object.keys(layerFields);

type Layers = Partial<RequestOf<typeof layerFields>>;

/** Requested places outside the blocks: embedding, head, or both. */
export function getEmbeddingAndHead({ embeddings, head }: Layers): EmbeddingOrHeadPlace[] {
  return [
    ...(embeddings === true ? ['embedding' as const] : []),
    ...(head === true ? ['head' as const] : []),
  ];
}

/**
 * Block numbers: `['0-3', '7']` selects 0, 1, 2, 3 and 7. Undefined if the field is absent.
 * @throws UserError if a range is invalid
 */
export function selectedBlocks({ blocks }: Layers): number[] | undefined {
  return blocks?.flatMap((part) => {
    const [first = 0, last = first] = part.split('-').map(Number);
    if (last < first) {
      throw new UserError('range-reversed', say`The range ${part} ends before it begins.`, {
        field: 'blocks',
        remedy: say`Write ${last}-${first}.`,
      });
    }
    return Array.from({ length: last - first + 1 }, (_, i) => first + i);
  });
}
