import { isGguf, locateModel, readConfigText } from '../checkpoints/model-folder';
import { openSafetensors } from '../checkpoints/safetensors';
import { UserError } from '../user-error';
import { say } from '../message';
import { findFamily } from './model-family';
import { openFolderAs } from './open-model';
import type { OpenedModel } from './opened-model';
import type { ConfigFields } from './transformer/model-config';
import { guessFamilies } from './transformer/guess-family';
import type { FamilyGuess } from './transformer/guess-family';
import { baseModelType } from './transformer/model-config';

/**
 * Opens a folder of an unknown `model_type` as each family that it may match, or as `only`.
 * @throws UserError if the type is known, or no family fits
 */
export async function openGuesses(
  path: string,
  only?: string,
): Promise<readonly { readonly opened: OpenedModel; readonly guess: FamilyGuess }[]> {
  const folder = await locateModel(path);
  if (isGguf(folder.weights)) {
    throw new UserError(
      'folder-not-hugging-face',
      say`Only Hugging Face folders can be tried as another family.`,
      {
        file: folder.weights,
        remedy: say`Choose the folder that the file was converted from.`,
      },
    );
  }
  const configText = await readConfigText(folder.config);
  const fields = JSON.parse(configText) as ConfigFields;
  if (findFamily(fields) !== undefined) {
    const modelType = baseModelType(String(fields['model_type']));
    throw new UserError(
      'family-supported-already',
      say`Models of type "${modelType}" can already be opened.`,
      { file: folder.config, remedy: say`Open the model directly.` },
    );
  }
  const checkpoint = await openSafetensors(folder.weights);
  return Promise.all(
    guessFamilies(configText, folder, checkpoint, only).map(async (guess) => ({
      opened: await openFolderAs(folder, guess.configText),
      guess,
    })),
  );
}
