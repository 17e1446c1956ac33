import type { GgufHeader } from '../checkpoints/gguf';
import { takesEncodings, takesPatches } from '../models/capabilities';
import { refusalOf } from '../models/capability';
import type { Refusal } from '../models/capability';
import { requireGgufBlocks } from '../models/gguf-model';
import type { LayeredModel } from '../models/layered-model';
import { UserError } from '../user-error';
import { deciArchitecture, whyNotGgufDeci } from './gguf-deci';
import type { OutputOption } from './output-options';
import { whyTorn } from './changes';
import type { Changes } from './changes';

/** What a GGUF file can be written as: without whole blocks any, without single sublayers llama-shaped ones. */
export function ggufOptions({ summary }: LayeredModel, header: GgufHeader): OutputOption[] {
  const isDeci = header.metadata.get('general.architecture') === deciArchitecture;
  const takesDeci = (changes: Changes): boolean =>
    isDeci || (summary.architecture === 'llama' && changes.absent.length > 0);
  return [
    {
      format: 'gguf',
      layout: 'blocks',
      isDefault: (changes) => !takesDeci(changes),
      refuse: async (changes) => {
        if (isDeci) {
          return {
            code: 'stays-deci',
            reason: 'A deci model is written as one again.',
            remedy: 'Choose deci.',
          };
        }
        return whyNotHeld(changes) ?? whyTorn(summary, changes) ?? whyOtherTurns(header, changes);
      },
    },
    {
      format: 'gguf',
      layout: 'deci',
      isDefault: takesDeci,
      refuse: (changes) => Promise.resolve(whyNotHeld(changes) ?? whyNotGgufDeci(summary, changes)),
    },
  ];
}

/** Why a GGUF file cannot hold what changes besides the removal. */
function whyNotHeld({ matrices, patches }: Changes): Refusal | undefined {
  const gguf = { format: 'gguf' } as const;
  return patches.size > 0
    ? refusalOf(takesPatches(gguf))
    : matrices.size > 0
      ? refusalOf(takesEncodings(gguf))
      : undefined;
}

async function whyOtherTurns(header: GgufHeader, changes: Changes): Promise<Refusal | undefined> {
  try {
    await requireGgufBlocks(header, changes.blocks);
    return undefined;
  } catch (error) {
    if (error instanceof UserError) {
      const { field, remedy = '' } = error.subject;
      return {
        ...{ code: 'blocks-not-removable', reason: error.problem, remedy },
        ...(field === undefined ? {} : { field }),
      };
    }
    throw error;
  }
}
