import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { isOnnx } from '../checkpoints/model-folder';
import { loadCalibration, createCalibration, checkSizes } from './calibration';
import { randomInputs } from './calibration-defaults';
import type { CalibrationRequest, CalibrationSummary, Calibration } from './calibration';
import { holdsPairs, encodeAnswer } from './tasks/pairs';
import { loadExamples } from './examples/load-examples';
import { holdsRecordings } from './examples/recordings';
import { takesRecordings, textPort, vocabularyBounds } from '../models/example';
import type { ModelInput } from '../models/model-input';
import type { LayeredModel } from '../models/layered-model';
import { explainNoTokenizer } from '../models/tokenizer-place';
import { UserError } from '../user-error';
import { counted, say } from '../message';
import type { Message } from '../message';
import { loadTokenizer } from './tokenizer';
import type { Example } from './tasks/task-example';
import { readTask } from './tasks/task-file';

/** Inputs that a model is run on, and warnings about them. */
export interface ModelInputs {
  readonly inputs: readonly ModelInput[];
  readonly summary: CalibrationSummary;
  readonly warnings: readonly Message[];
}

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

/**
 * Loads token ids for models that read text; for other models, and if the file contains arrays or images, loads
 * examples of their inputs.
 * @throws UserError if they can't be read or don't fit the model.
 */
export async function loadModelInputs(
  request: CalibrationRequest,
  model: LayeredModel,
  bundledText: string,
  seed: number,
): Promise<ModelInputs> {
  const { file, sequences, length, after = 0 } = request;
  const hasRecordings = await holdsTranscripts(file, model);
  const isAsked = request.answers === true && !hasRecordings;
  if (isAsked || (file !== undefined && (await holdsPairs(file, model)))) {
    requireTokenizer(model);
    const { sequences, summary } = await loadAnswers(request, model);
    return { inputs: sequences, summary, warnings: [] };
  }
  const isRandom = file === randomInputs;
  if (textPort(model) !== undefined && !isRandom && !(await holdsExamples(file))) {
    requireTokenizer(model);
    const calibration = await loadCalibration(request, model, bundledText, seed);
    const { sequences: inputs, summary } = calibration;
    return { inputs, summary, warnings: [] };
  }
  const { examples, summary, warnings } = await loadExamples(
    {
      count: sequences,
      after,
      seed,
      length: Math.min(length, model.summary.maxPositions ?? length),
      bounds: vocabularyBounds(model),
      ...(file === undefined || isRandom ? {} : { file }),
    },
    model.inputs,
    modelFolder(model),
  );
  return { inputs: examples, summary, warnings };
}

/**
 * Loads inputs as {@link loadModelInputs} does, alternating between the requested text and further ones.
 * @throws UserError if there are fewer sequences than texts.
 */
export async function loadSeveralTexts(
  request: CalibrationRequest,
  further: readonly string[],
  model: LayeredModel,
  bundledText: string,
  seed: number,
): Promise<ModelInputs> {
  if (further.length === 0) {
    return loadModelInputs(request, model, bundledText, seed);
  }
  const requests = [request, ...further.map((file) => ({ ...request, file }))];
  const { sequences } = request;
  if (requests.length > sequences) {
    throw new UserError(
      'sequences-too-few',
      say`Cannot split ${counted(sequences, 'sequence')} among ${requests.length} texts.`,
      {
        field: 'sequences',
        remedy: say`Set at least ${requests.length}, or use fewer texts.`,
      },
    );
  }
  const loaded: ModelInputs[] = [];
  for (const [i, one] of requests.entries()) {
    const share = Math.ceil((sequences - i) / requests.length);
    const found = await loadModelInputs({ ...one, sequences: share }, model, bundledText, seed);
    if (found.inputs.length < share) {
      throw new UserError(
        'examples-too-few',
        say`There are only ${counted(found.inputs.length, 'example')}, and its share is ${share}.`,
        { file: found.summary.source, remedy: say`Set fewer sequences, or use fewer texts.` },
      );
    }
    loaded.push(found);
  }
  const summaries = loaded.map(({ summary }) => summary);
  return {
    inputs: Array.from(
      { length: sequences },
      (_, i) => loaded[i % loaded.length]?.inputs[Math.floor(i / loaded.length)],
    ).filter((input) => input !== undefined),
    warnings: loaded.flatMap(({ warnings }) => warnings),
    summary: {
      source: request.file ?? 'bundled',
      texts: summaries.map(({ source }) => source),
      sequences,
      length: Math.max(...summaries.map(({ length }) => length)),
      tokens: summaries.reduce((sum, { tokens }) => sum + tokens, 0),
      fingerprint: createHash('sha256')
        .update(summaries.map((summary) => summary.fingerprint).join())
        .digest('hex'),
    },
  };
}

/** @throws UserError for an ONNX graph without a tokenizer, which can still run on random inputs. */
function requireTokenizer({ summary: { path } }: LayeredModel): void {
  const missing = isOnnx(path) ? explainNoTokenizer(path) : undefined;
  if (missing !== undefined) {
    throw new UserError(missing.code, missing.reason, {
      file: missing.file,
      remedy: say`Copy the model's tokenizer.json into its folder, or set the calibration to random (--calibration random).`,
    });
  }
}

/** Folder with the tokenizer and configuration of a model. */
function modelFolder({ summary }: LayeredModel): string {
  return isOnnx(summary.path) ? dirname(summary.path) : summary.path;
}

/** True if a file or folder contains recordings with transcripts for a speech model. */
export async function holdsTranscripts(
  file: string | undefined,
  model: Pick<LayeredModel, 'inputs'>,
): Promise<boolean> {
  return file !== undefined && takesRecordings(model) && (await holdsRecordings(file));
}

/** True if a file exists and contains arrays or images, not text. */
export async function holdsExamples(file: string | undefined): Promise<boolean> {
  if (file === undefined) {
    return false;
  }
  return (
    /\.np[yz]$/i.test(file) ||
    (await stat(file).then(
      (found) => found.isDirectory(),
      () => false,
    ))
  );
}
