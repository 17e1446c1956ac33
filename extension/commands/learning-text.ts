import type { CalibrationRequest } from '../core/data/calibration';
import type { ModelSummary } from '../core/models/model-summary';
import type { Services } from '../services/services';
import { bundled, chooseText } from './score-text';

/** Tokens of a sequence where the user has set none: training takes more of them than measuring, so shorter ones. */
const defaultLength = 128;

/** Lets the user choose what to learn from: the setting's text, the bundled one, another, or examples of inputs. */
export async function askLearningText(
  { settings }: Services,
  title: string,
  { vocabularySize }: ModelSummary,
): Promise<string | undefined> {
  return chooseText(title, settings.calibration().file, vocabularySize === undefined);
}

/** So many sequences of a chosen text, or as many as it has. Only those of the setting's own text are chosen by its scores. */
export function learningText(
  { settings }: Services,
  model: ModelSummary,
  text: string,
  sequences: number,
): CalibrationRequest {
  const { file, length, scores } = settings.calibration({ sequences, length: defaultLength });
  return {
    sequences,
    upTo: true,
    length: Math.min(length, model.maxPositions ?? length),
    ...(text === bundled ? {} : { file: text }),
    ...(text === file && scores !== undefined ? { scores } : {}),
  };
}
