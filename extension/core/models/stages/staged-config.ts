import * as v from 'valibot';
import { UserError } from '../../user-error';
import { compressedEncodings } from '../encodings/encoding-spec';
import { activations } from '../parts/activations';
import type { ConfigFields, ConfigLayout } from '../transformer/model-config';
import { parseConfig, size } from '../transformer/model-config';
import { say } from '../../message';

const side = v.union([size, v.tuple([size, size])]);

/** Fields of config.json shared by staged models. Families read others with {@link numberAt} and {@link listAt}. */
const stagedSchema = v.looseObject({
  model_type: v.string(),
  architectures: v.nullish(v.array(v.string())),
  num_channels: v.optional(size, 3),
  /** Size in pixels: [height, width], or one number for both. */
  image_size: v.optional(side),
  hidden_act: v.optional(v.string(), 'gelu'),
  espalier: v.optional(
    v.looseObject({ removed: v.array(v.string()), compressed: v.optional(compressedEncodings) }),
  ),
});

export type StagedConfig = v.InferOutput<typeof stagedSchema>;

/** @throws UserError naming the file and the field. */
export function parseStagedConfig(text: string, file: string, layout: ConfigLayout): StagedConfig {
  const config = parseConfig(stagedSchema, text, file, layout);
  if (!Object.hasOwn(activations, config.hidden_act)) {
    throw new UserError(
      'activation-unsupported',
      say`Activation "${config.hidden_act}" is not supported, only ${Object.keys(activations).join(', ')}.`,
      {
        ...{ file, field: layout.names?.['hidden_act'] ?? 'hidden_act' },
        remedy: say`Export the model to ONNX and open that.`,
      },
    );
  }
  return config;
}

/** Larger sizes indicate a damaged config. */
const largest = 65_536;

const isSize = (value: unknown): value is number =>
  typeof value === 'number' && value >= 0 && value <= largest;

/** Reads a size. @throws UserError if the field isn't a number. */
export function numberAt(config: ConfigFields, field: string): number {
  const value = config[field];
  return isSize(value) ? value : refuse(field);
}

/** Reads one size per stage. @throws UserError if the field isn't a list of numbers. */
export function listAt(config: ConfigFields, field: string): readonly number[] {
  const value = config[field];
  return Array.isArray(value) && value.every((one) => isSize(one)) ? value : refuse(field);
}

/** Reads height and width. @throws UserError if the field is neither a number nor a list of numbers. */
export function sidesAt(config: ConfigFields, field: string): readonly number[] {
  const value = config[field];
  return typeof value === 'number' ? [value, value] : listAt(config, field);
}

/** Checks a size computed from `field`. @throws UserError if it isn't a valid size. */
export function readSize(value: number, field: string): number {
  return isSize(value) ? value : refuse(field);
}

/** A multiple of `divisor` that is close to `value`, and not much below it: how networks round scaled widths. */
export function multipleNear(value: number, divisor: number, least = divisor): number {
  const rounded = Math.max(least, Math.floor(Math.trunc(value + divisor / 2) / divisor) * divisor);
  return rounded < 0.9 * value ? rounded + divisor : rounded;
}

function refuse(field: string): never {
  throw new UserError('image-size-invalid', say`It isn't a size or a list of sizes.`, {
    field,
    remedy: say`Correct or download config.json again.`,
  });
}
