import { l10n } from 'vscode';
import type { ModelSummary } from '../../core/models/model-summary';
import type { Services } from '../../services/services';
import { bundled, chooseText } from '../score-text';

/** Request fields that select the text and the part of it that is read. */
type TextField = 'calibration' | 'calibrationScores' | 'calibrationPolicy';

/** Request fields for the chosen text, and the fields whose settings apply only to other texts. */
export interface LearningText {
  readonly given: { readonly calibration?: string };
  readonly unset: readonly TextField[];
}

/** Asks for the text to learn from: the one in the settings, the bundled one, another file, or examples of inputs. */
export async function askLearningText(
  { settings }: Services,
  title: string,
  { vocabularySize }: ModelSummary,
): Promise<string | undefined> {
  return chooseText(
    title,
    settings.calibrationFile(),
    vocabularySize === undefined,
    l10n.t('Learn from which text?'),
  );
}

/** A chosen text in a request; scores that are set choose only from the text that is set. */
export function learningText({ settings }: Services, text: string): LearningText {
  return text === settings.calibrationFile()
    ? { given: {}, unset: [] }
    : {
        given: text === bundled ? {} : { calibration: text },
        unset: ['calibration', 'calibrationScores', 'calibrationPolicy'],
      };
}
