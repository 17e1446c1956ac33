import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import type { NumericArray } from '../../checkpoints/numeric-array';
import { readModelText } from '../../checkpoints/model-file';
import { parseDocument } from '../../jobs/parse-document';
import { UserError } from '../../user-error';
import { say } from '../../message';
import type { Message } from '../../message';
import { logMelSpectrogram } from './log-mel';
import type { SpectrogramForm } from './log-mel';
import type { Sound } from './wav';

const size = v.pipe(v.number(), v.integer(), v.minValue(1));
const rateSchema = v.optional(size, 16_000);

const samplesExtractor = 'Wav2Vec2FeatureExtractor';
const samplesSchema = v.looseObject({
  feature_extractor_type: v.optional(v.string(), samplesExtractor),
  sampling_rate: rateSchema,
  do_normalize: v.optional(v.boolean(), true),
});

const spectrogramExtractor = 'WhisperFeatureExtractor';
const spectrogramSchema = v.looseObject({
  feature_extractor_type: v.optional(v.string(), spectrogramExtractor),
  sampling_rate: rateSchema,
  feature_size: v.optional(size),
  n_fft: v.optional(size, 400),
  hop_length: v.optional(size, 160),
  /** Seconds. */
  chunk_length: v.optional(v.pipe(v.number(), v.gtValue(0)), 30),
  /** Random noise, which is not supported. */
  dither: v.optional(v.literal(0)),
});

/** Function that converts a sound to a model's input, and warnings about it. */
interface SoundPreprocessor {
  readonly preprocess: (sound: Sound) => NumericArray;
  readonly warnings: readonly Message[];
}

/**
 * Loads sound preprocessing from preprocessor_config.json: returns [1, samples] at the model's sampling rate,
 * optionally with mean 0 and variance 1. Without the file, assumes 16 kHz and normalization, with a warning.
 * @throws UserError naming the file and the field.
 */
export async function loadSoundPreprocessor(folder: string): Promise<SoundPreprocessor> {
  const { config, isThere } = await readConfig(folder, samplesSchema, samplesExtractor);
  const { sampling_rate: rate, do_normalize: normalizes } = config;
  return {
    preprocess: (sound) => {
      requireRate(sound, rate);
      const data = normalizes ? normalized(sound.samples) : sound.samples;
      return { dtype: 'F32', dims: [1, data.length], data };
    },
    warnings: isThere
      ? []
      : [
          say`The model has no preprocessor_config.json: audio at ${rate} Hz was normalized. If the model was trained with other steps, its results mean little.`,
        ],
  };
}

/**
 * Loads preprocessing of Whisper models from preprocessor_config.json: returns log-mel spectrograms, float32 [1,
 * channels, frames]. Without the file, uses the settings of the published models, with a warning.
 * @param channels number of mel filters if the file doesn't specify it
 * @throws UserError naming the file and the field.
 */
export async function loadSpectrogramPreprocessor(
  folder: string,
  channels: number,
): Promise<SoundPreprocessor> {
  const { config, isThere } = await readConfig(folder, spectrogramSchema, spectrogramExtractor);
  const { sampling_rate: rate, chunk_length: seconds, n_fft: window, hop_length: hop } = config;
  const form: SpectrogramForm = {
    ...{ rate, window, hop, channels: config.feature_size ?? channels },
    samples: Math.floor(seconds * rate),
  };
  return {
    preprocess: (sound) => {
      requireRate(sound, rate);
      const data = logMelSpectrogram(sound.samples, form);
      return { dtype: 'F32', dims: [1, form.channels, data.length / form.channels], data };
    },
    warnings: isThere
      ? []
      : [
          say`The model has no preprocessor_config.json: audio was prepared as for the published Whisper models. If the model was trained with other steps, its results mean little.`,
        ],
  };
}

async function readConfig<
  Schema extends v.GenericSchema<unknown, { readonly feature_extractor_type: string }>,
>(
  folder: string,
  schema: Schema,
  extractor: string,
): Promise<{ readonly config: v.InferOutput<Schema>; readonly isThere: boolean }> {
  const file = join(folder, 'preprocessor_config.json');
  const isThere = (await stat(file).catch(() => undefined)) !== undefined;
  const text = isThere ? await readModelText(file) : '{}';
  const what = say`the preprocessor_config.json of an audio model`;
  const config = parseDocument(schema, text, file, what);
  if (config.feature_extractor_type !== extractor) {
    throw new UserError(
      'feature-extractor-unsupported',
      say`${config.feature_extractor_type} is not supported, only ${extractor}.`,
      {
        file,
        field: 'feature_extractor_type',
        remedy: say`Save prepared audio as a .npz file with numpy, and choose that.`,
      },
    );
  }
  return { config, isThere };
}

function requireRate(sound: Sound, rate: number): void {
  if (sound.rate !== rate) {
    throw new UserError(
      'sample-rate-mismatch',
      say`The file's sample rate is ${sound.rate} Hz, but the model expects ${rate} Hz.`,
      { remedy: say`Convert it: "ffmpeg -i FILE -ac 1 -ar ${rate} OUT.wav".` },
    );
  }
}

/** Minimum variance, which avoids division by 0 for silence. */
const minVariance = 1e-7;

function normalized(samples: Float32Array): Float32Array {
  const mean = samples.reduce((sum, x) => sum + x, 0) / samples.length;
  const variance = samples.reduce((sum, x) => sum + (x - mean) ** 2, 0) / samples.length;
  const scale = 1 / Math.sqrt(variance + minVariance);
  return samples.map((x) => (x - mean) * scale);
}
