import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { isOnnx } from '../checkpoints/model-folder';
import { loadCalibration } from './calibration';
import { randomInputs } from './calibration-defaults';
import type { CalibrationRequest, CalibrationSummary } from './calibration';
import { loadAnswers } from './tasks/load-answers';
import { holdsPairs } from './tasks/pairs';
import { loadExamples } from './examples/load-examples';
import { holdsRecordings } from './examples/recordings';
import { hears, textPort, vocabularyBounds } from '../models/example';
import type { ModelInput } from '../models/model-input';
import type { LayeredModel } from '../models/layered-model';
import { explainNoTokenizer } from '../models/tokenizer-place';
import { UserError } from '../user-error';
import { counted, say } from '../message';
import type { Message } from '../message';

/** What a model is run on, and what to say of it. */
export interface ModelInputs {
  readonly inputs: readonly ModelInput[];
  readonly summary: CalibrationSummary;
  readonly warnings: readonly Message[];
}

/**
 * Token ids of a text for a model that reads text; examples of its inputs for every other, or where
 * the file holds arrays or images.
 * @throws UserError when they cannot be read, or do not fit the model.
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
    folderOf(model),
  );
  return { inputs: examples, summary, warnings };
}

/**
 * As {@link loadModelInputs}, with the sequences shared out among the text asked for and further ones: each gives
 * one in turn.
 * @throws UserError when there are fewer sequences than texts.
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
      say`Cannot split ${counted(sequences, 'sequence')} among ${requests.length} texts.`,
      {
        field: 'sequences',
        remedy: say`Set at least ${requests.length}, or name fewer texts.`,
      },
    );
  }
  const loaded: ModelInputs[] = [];
  for (const [i, one] of requests.entries()) {
    const share = Math.ceil((sequences - i) / requests.length);
    const found = await loadModelInputs({ ...one, sequences: share }, model, bundledText, seed);
    if (found.inputs.length < share) {
      throw new UserError(
        say`There are only ${counted(found.inputs.length, 'example')}, and its share is ${share}.`,
        { file: found.summary.source, remedy: say`Set fewer sequences, or name fewer texts.` },
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

/** @throws UserError for a graph without a tokenizer, which can still be run on random numbers. */
function requireTokenizer({ summary: { path } }: LayeredModel): void {
  const missing = isOnnx(path) ? explainNoTokenizer(path) : undefined;
  if (missing !== undefined) {
    throw new UserError(missing.reason, {
      file: missing.file,
      remedy: say`Copy the model's tokenizer.json into its folder, or set the calibration to random (--calibration random).`,
    });
  }
}

/** Where the model's side files lie. */
function folderOf({ summary }: LayeredModel): string {
  return isOnnx(summary.path) ? dirname(summary.path) : summary.path;
}

/** Whether a file or folder holds recordings with transcripts for a model that hears. */
export async function holdsTranscripts(
  file: string | undefined,
  model: Pick<LayeredModel, 'inputs'>,
): Promise<boolean> {
  return file !== undefined && hears(model) && (await holdsRecordings(file));
}

/** Whether a file is there and holds arrays or images, and no text. */
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
