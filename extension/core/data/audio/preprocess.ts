import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import type { NumericArray } from '../../checkpoints/numeric-array';
import { readSmallText } from '../../checkpoints/regular-file';
import { parseDocument } from '../../jobs/parse-document';
import { UserError } from '../../user-error';
import { say } from '../../message';
import type { Message } from '../../message';
import type { Sound } from './wav';

const extractor = 'Wav2Vec2FeatureExtractor';

const configSchema = v.looseObject({
  feature_extractor_type: v.optional(v.string(), extractor),
  sampling_rate: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1)), 16_000),
  do_normalize: v.optional(v.boolean(), true),
});

/** What keeps the deviation of silence from 0. */
const leastVariance = 1e-7;

/**
 * Prepares sounds as a model's preprocessor_config.json says: [1, samples] of its rate, perhaps with mean 0 and
 * variance 1. Without one, sounds of 16 kHz are normalized, with a warning.
 * @throws UserError naming the file and the field.
 */
export async function loadSoundPreprocessor(folder: string): Promise<{
  readonly preprocess: (sound: Sound) => NumericArray;
  readonly warnings: readonly Message[];
}> {
  const file = join(folder, 'preprocessor_config.json');
  const isThere = (await stat(file).catch(() => undefined)) !== undefined;
  const text = isThere ? await readSmallText(file) : '{}';
  const what = say`the preprocessor_config.json of an audio model`;
  const config = parseDocument(configSchema, text, file, what);
  if (config.feature_extractor_type !== extractor) {
    throw new UserError(
      say`${config.feature_extractor_type} is not supported, only ${extractor}.`,
      {
        file,
        field: 'feature_extractor_type',
        remedy: say`Save prepared audio as a .npz file with numpy, and choose that.`,
      },
    );
  }
  const { sampling_rate: rate, do_normalize: normalizes } = config;
  return {
    preprocess: (sound) => {
      if (sound.rate !== rate) {
        throw new UserError(
          say`The file's sample rate is ${sound.rate} Hz, the model takes ${rate} Hz.`,
          {
            remedy: say`Convert it, as "ffmpeg -i FILE -ac 1 -ar ${rate} OUT.wav" does.`,
          },
        );
      }
      const data = normalizes ? normalized(sound.samples) : sound.samples;
      return { dtype: 'F32', dims: [1, data.length], data };
    },
    warnings: isThere
      ? []
      : [
          say`The model has no preprocessor_config.json: audio at ${rate} Hz was normalized. If it was trained with other steps, its results mean little.`,
        ],
  };
}

function normalized(samples: Float32Array): Float32Array {
  const mean = samples.reduce((sum, x) => sum + x, 0) / samples.length;
  const variance = samples.reduce((sum, x) => sum + (x - mean) ** 2, 0) / samples.length;
  const scale = 1 / Math.sqrt(variance + leastVariance);
  return samples.map((x) => (x - mean) * scale);
}
