import * as v from 'valibot';
import { UserError } from '../../user-error';
import { compressedForms } from '../forms/form-spec';
import { activations } from '../parts/activations';
import type { ConfigFields, ConfigLayout } from '../transformer/config-layout';
import { parseConfig, size } from '../transformer/model-config';
import { say } from '../../message';

const side = v.union([size, v.tuple([size, size])]);

/** The fields of config.json that models of stages have in common; families read others by {@link numberAt} and {@link listAt}. */
const stagedSchema = v.looseObject({
  model_type: v.string(),
  architectures: v.nullish(v.array(v.string())),
  num_channels: v.optional(size, 3),
  /** Pixels, [height, width] or both alike. */
  image_size: v.optional(side),
  hidden_act: v.optional(v.string(), 'gelu'),
  espalier: v.optional(
    v.looseObject({ removed: v.array(v.string()), compressed: v.optional(compressedForms) }),
  ),
});

export type StagedConfig = v.InferOutput<typeof stagedSchema>;

/** @throws UserError naming the file and the field. */
export function parseStagedConfig(text: string, file: string, layout: ConfigLayout): StagedConfig {
  const config = parseConfig(stagedSchema, text, file, layout);
  if (!Object.hasOwn(activations, config.hidden_act)) {
    throw new UserError(
      say`Activation "${config.hidden_act}" is not supported, only ${Object.keys(activations).join(', ')}.`,
      {
        ...{ file, field: layout.names?.['hidden_act'] ?? 'hidden_act' },
        remedy: say`Export the model to ONNX and open that.`,
      },
    );
  }
  return config;
}

/** More than this is no size, but a damaged config. */
const largest = 65_536;

const isSize = (value: unknown): value is number =>
  typeof value === 'number' && value >= 0 && value <= largest;

/** @throws UserError where the field is no number. */
export function numberAt(config: ConfigFields, field: string): number {
  const value = config[field];
  return isSize(value) ? value : refuse(field);
}

/** One number for each stage. @throws UserError where the field is no list of numbers. */
export function listAt(config: ConfigFields, field: string): readonly number[] {
  const value = config[field];
  return Array.isArray(value) && value.every((one) => isSize(one)) ? value : refuse(field);
}

/** Height and width. @throws UserError where the field is neither one number nor two. */
export function sidesAt(config: ConfigFields, field: string): readonly number[] {
  const value = config[field];
  return typeof value === 'number' ? [value, value] : listAt(config, field);
}

/** What follows from fields. @throws UserError where it is no size either. */
export function sizeOf(value: number, field: string): number {
  return isSize(value) ? value : refuse(field);
}

function refuse(field: string): never {
  throw new UserError(say`It isn't a size or a list of sizes.`, {
    field,
    remedy: say`Correct or download config.json again.`,
  });
}
