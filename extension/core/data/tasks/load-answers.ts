import type { LayeredModel } from '../../models/layered-model';
import { UserError } from '../../user-error';
import { createCalibration, checkSizes } from '../calibration';
import type { Calibration, CalibrationRequest } from '../calibration';
import { loadTokenizer } from '../tokenizer';
import { encodeAnswer } from './pairs';
import type { Example } from './task-example';
import { readTask } from './task-file';
import { counted, say } from '../../message';

/**
 * Loads the first examples of a task as questions followed by their correct answers; loss is computed on the answers.
 * Questions are truncated at the start if both exceed the requested length.
 * @throws UserError if there is no task, or it doesn't fit the request or the model.
 */
export async function loadAnswers(
  request: CalibrationRequest,
  model: Pick<LayeredModel, 'summary' | 'inputs'>,
): Promise<Calibration> {
  const { file, sequences, length, after = 0, upTo = false } = request;
  checkSizes(request, model);
  if (file === undefined) {
    throw new UserError('task-missing', say`The metric answers needs a task.`, {
      field: 'calibration',
      remedy: say`Specify a task, a JSONL file of questions with answers (--calibration FILE).`,
    });
  }
  const { examples } = await readTask(file);
  const asked = (examples as readonly Example[]).slice(after, after + sequences);
  if (asked.length < sequences && after === 0 && !upTo) {
    throw new UserError(
      'task-too-short',
      say`The task has ${counted(examples.length, 'example')}, fewer than ${sequences}.`,
      { file, remedy: say`Choose fewer sequences, or a task with more examples.` },
    );
  }
  const tokenizer = await loadTokenizer(model.summary.path);
  const ids = asked.map((example) =>
    encodeAnswer(tokenizer, example, { model, file, most: length }),
  );
  return createCalibration(ids, Math.max(0, ...ids.map((one) => one.length)), file);
}
