import { join } from 'node:path';
import * as v from 'valibot';
import { familyFileName } from '../checkpoints/model-folder';
import { readTokens } from '../data/text-tokens';
import { checkGuess, guessTokens } from '../evaluate/perplexity';
import type { GuessCheck } from '../evaluate/perplexity';
import { writeDocument } from '../jobs/write-document';
import { requireAble } from '../models/capability';
import { openGuesses } from '../models/try-family';
import type { FamilyGuess } from '../models/transformer/guess-family';
import { resolveDevice } from '../runtime/devices';
import { LayeredExecutor } from '../runtime/layered-executor';
import { requireMemory } from '../runtime/memory-shares';
import { UserError } from '../user-error';
import { path, text } from './fields';
import { heldOutText } from './requirement-fields';
import { defineOperation } from './operation';
import { modelField, runFields, runOptions, sampleText } from './shared-fields';

/** Architecture that an unknown model was tried as. */
interface TriedFamily extends GuessCheck {
  readonly family: string;
  /** The file that states it, next to config.json. */
  readonly path: string;
}

export const tryFamily = defineOperation({
  id: 'try-family',
  title: 'Try as Known Family',
  verb: 'Trying',
  summary:
    'Open a folder of an unknown model_type as a known family, if its tensors match and its predictions on a text are good.',
  group: 'inspect',
  fields: {
    model: modelField,
    family: text({
      description: 'Family to try',
      fallback: 'the family whose tensors and fields match',
      placeholder: 'FAMILY',
    }),
    text: path({
      description: 'Text to check on (.txt, .md, .jsonl)',
      fallback: sampleText,
    }),
    ...runFields,
  },
  rules: [],
  result: v.looseObject({
    family: v.string(),
    path: v.string(),
    perplexity: v.number(),
    shuffled: v.number(),
  }),
  trust: 'write',
  run: async (request, context): Promise<TriedFamily> => {
    const { model: place, family: only } = request;
    const guesses = await openGuesses(place, only);
    const { device: choice, memoryBytes } = runOptions(request);
    const device = await resolveDevice(choice, context.warn.bind(context));
    const file = request.text ?? join(context.environment.samples, heldOutText);
    const failures: unknown[] = [];
    let best: (GuessCheck & { readonly guess: FamilyGuess; readonly folder: string }) | undefined;
    for (const { opened, guess } of guesses) {
      const { model, path: folder, capabilities } = opened;
      requireAble(capabilities.evaluate, folder);
      requireMemory(model, memoryBytes, device);
      const executor = new LayeredExecutor(model, device, memoryBytes);
      try {
        const check = await checkGuess(
          executor,
          await readTokens(file, model, guessTokens),
          guess.family,
          context,
        );
        best =
          best === undefined || check.perplexity < best.perplexity
            ? { ...check, guess, folder }
            : best;
      } catch (error) {
        if (!(error instanceof UserError)) {
          throw error;
        }
        failures.push(error);
      } finally {
        await executor.dispose();
      }
    }
    if (best === undefined) {
      throw failures[0];
    }
    const { guess, folder, ...check } = best;
    const { family, fields } = guess;
    const written = join(folder, familyFileName);
    await writeDocument(written, { ...fields, espalier_guess: { family, ...check } });
    return { family, path: written, ...check };
  },
});
