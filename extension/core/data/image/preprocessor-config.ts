import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import { readModelText } from '../../checkpoints/model-file';
import { parseDocument } from '../../jobs/parse-document';
import { UserError } from '../../user-error';
import { resamples } from './resize';
import type { Resample } from './resize';
import type { Message } from '../../message';
import { say } from '../../message';

/** Preprocessing steps from an image to a model input. */
export interface ImageSteps {
  /** Treatment of alpha: dropped, or blended with white. */
  readonly background: 'ignore' | 'white';
  readonly resize?: { readonly size: TargetSize; readonly resample: Resample };
  /** Size of the center crop, if any. */
  readonly crop?: { readonly height: number; readonly width: number };
  /** Factor for samples of 0 to 255. */
  readonly rescale: number;
  /** Mean that is subtracted and standard deviation that divides: one number, or one per channel. */
  readonly normalize?: { readonly mean: readonly number[]; readonly std: readonly number[] };
  /** True for BGR channel order. */
  readonly reversesChannels: boolean;
}

/** Preprocessing steps of a model, the file they come from, and warnings. */
export interface StepsOfModel {
  readonly steps: ImageSteps;
  readonly file?: string;
  readonly warnings: readonly Message[];
}

/** Both edges, or the shorter one. `cropFraction` is the share that is kept by a subsequent crop. */
export type TargetSize =
  | { readonly height: number; readonly width: number }
  | { readonly shortestEdge: number; readonly cropFraction?: number };

/** Defaults of transformers' image processors. */
interface ProcessorDefaults {
  /** True if a single number is the shorter edge. */
  readonly shortestEdge?: true;
  readonly centerCrop?: true;
  readonly convertsToRgb?: true;
  readonly reversesChannels?: true;
  readonly normalizes?: false;
  /** Share of the shorter edge that is kept if it is below 384. */
  readonly cropFraction?: number;
}

/** Processors that only resize, crop, rescale and normalize. */
const processors: Readonly<Record<string, ProcessorDefaults>> = {
  Beit: {},
  Bit: { shortestEdge: true, centerCrop: true, convertsToRgb: true },
  Blip: { convertsToRgb: true },
  CLIP: { shortestEdge: true, centerCrop: true, convertsToRgb: true },
  ChineseCLIP: { shortestEdge: true, centerCrop: true, convertsToRgb: true },
  ConvNext: { shortestEdge: true, cropFraction: 224 / 256 },
  DeiT: { centerCrop: true },
  MobileNetV1: { shortestEdge: true, centerCrop: true },
  MobileNetV2: { shortestEdge: true, centerCrop: true },
  MobileViT: { shortestEdge: true, centerCrop: true, reversesChannels: true, normalizes: false },
  OwlViT: { convertsToRgb: true },
  Pvt: {},
  Segformer: {},
  Siglip: { convertsToRgb: true },
  ViT: {},
};

/** Supported steps. Any other enabled `do_…` step is an error. */
const knownSteps = new Set([
  'do_resize',
  'do_center_crop',
  'do_rescale',
  'do_normalize',
  'do_convert_rgb',
  'do_flip_channel_order',
  // Both only affect segmentation maps.
  'do_reduce_labels',
  'reduce_labels',
]);
/** Unsupported switches without the `do_` prefix. */
const unknownSwitches = ['rescale_offset', 'include_top'];

const edge = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(100_000));
const sizeSchema = v.union(
  [
    edge,
    v.pipe(
      v.tuple([edge, edge]),
      v.transform(([height, width]) => ({ height, width })),
    ),
    v.strictObject({ height: edge, width: edge }),
    v.pipe(
      v.strictObject({ shortest_edge: edge }),
      v.transform(({ shortest_edge }) => ({ shortestEdge: shortest_edge })),
    ),
  ],
  'It must be a number of pixels, {height, width} or {shortest_edge}',
);
const perChannel = v.union([
  v.pipe(
    v.number(),
    v.transform((value) => [value]),
  ),
  v.array(v.number()),
]);

const configSchema = v.looseObject({
  image_processor_type: v.nullish(v.string()),
  feature_extractor_type: v.nullish(v.string()),
  do_resize: v.nullish(v.boolean()),
  size: v.nullish(sizeSchema),
  resample: v.nullish(v.picklist([0, 1, 2, 3, 4, 5], 'It must be one of the numbers 0 to 5')),
  do_center_crop: v.nullish(v.boolean()),
  crop_size: v.nullish(sizeSchema),
  crop_pct: v.nullish(v.pipe(v.number(), v.gtValue(0), v.maxValue(1))),
  do_rescale: v.nullish(v.boolean()),
  rescale_factor: v.nullish(v.number()),
  do_normalize: v.nullish(v.boolean()),
  image_mean: v.nullish(perChannel),
  image_std: v.nullish(
    v.pipe(
      perChannel,
      v.check((values) => values.every((value) => value > 0), 'It must be above 0'),
    ),
  ),
  do_convert_rgb: v.nullish(v.boolean()),
  do_flip_channel_order: v.nullish(v.boolean()),
});
type PreprocessorConfig = v.InferOutput<typeof configSchema>;

const configFile = 'preprocessor_config.json';
const what = say`the preprocessor_config.json of an image model`;

/**
 * Reads the image preprocessing of a model folder from preprocessor_config.json.
 * @returns undefined if there is none
 * @throws UserError naming the file and the field.
 */
export async function readImageSteps(folder: string): Promise<StepsOfModel | undefined> {
  const file = join(folder, configFile);
  if ((await stat(file).catch(() => undefined)) === undefined) {
    return undefined;
  }
  return toSteps(parseDocument(configSchema, await readModelText(file), file, what), file);
}

function toSteps(config: PreprocessorConfig, file: string): StepsOfModel {
  refuseUnknownSteps(config, file);
  const type = config.image_processor_type ?? config.feature_extractor_type ?? '';
  const name = type.replace(/(ImageProcessor|FeatureExtractor)(Fast|Pil)?$/, '');
  const known = Object.hasOwn(processors, name) ? processors[name] : undefined;
  const defaults = known ?? {};
  const crops = config.do_center_crop ?? defaults.centerCrop ?? false;
  return {
    file,
    steps: {
      background: (config.do_convert_rgb ?? defaults.convertsToRgb) === true ? 'white' : 'ignore',
      ...(config.do_resize === false ? {} : { resize: readResize(config, defaults, file) }),
      ...(crops ? { crop: readCrop(config, file) } : {}),
      rescale: config.do_rescale === false ? 1 : (config.rescale_factor ?? 1 / 255),
      ...((config.do_normalize ?? defaults.normalizes) === false
        ? {}
        : { normalize: readNormalize(config, file) }),
      reversesChannels: config.do_flip_channel_order ?? defaults.reversesChannels ?? false,
    },
    warnings:
      known === undefined
        ? [
            type === ''
              ? say`${file}: The image processor is not named; its fields were used.`
              : say`${file}: ${type} may do more than its fields define; its fields were used.`,
          ]
        : [],
  };
}

function refuseUnknownSteps(config: PreprocessorConfig, file: string): void {
  for (const [field, value] of Object.entries(config)) {
    const isStep = field.startsWith('do_')
      ? !knownSteps.has(field)
      : unknownSwitches.includes(field);
    if (isStep && value === true) {
      throw new UserError(
        'image-step-unsupported',
        say`This step of preparing images is not supported.`,
        {
          file,
          field,
          remedy: say`Save prepared images as a .npz file with numpy, and choose that.`,
        },
      );
    }
  }
}

function required<T>(value: T | null | undefined, field: string, file: string): T {
  if (value === null || value === undefined) {
    throw new UserError('field-missing', say`The field is missing.`, {
      file,
      field,
      remedy: say`Add it: the file must be ${what}.`,
    });
  }
  return value;
}

function readResize(
  config: PreprocessorConfig,
  defaults: ProcessorDefaults,
  file: string,
): NonNullable<ImageSteps['resize']> {
  const stated = required(config.size, 'size', file);
  const single = (length: number): TargetSize =>
    defaults.shortestEdge === true ? { shortestEdge: length } : { height: length, width: length };
  const size = typeof stated === 'number' ? single(stated) : stated;
  const cropFraction =
    defaults.cropFraction === undefined ? undefined : (config.crop_pct ?? defaults.cropFraction);
  return {
    size: 'shortestEdge' in size && cropFraction !== undefined ? { ...size, cropFraction } : size,
    resample: resamples[required(config.resample, 'resample', file)] ?? 'bilinear',
  };
}

function readCrop(config: PreprocessorConfig, file: string): { height: number; width: number } {
  const size = required(config.crop_size, 'crop_size', file);
  if (typeof size === 'number') {
    return { height: size, width: size };
  }
  if ('shortestEdge' in size) {
    throw new UserError(
      'crop-size-invalid',
      say`It must be a number of pixels, or {height, width}.`,
      { file, field: 'crop_size', remedy: undefined },
    );
  }
  return size;
}

function readNormalize(
  config: PreprocessorConfig,
  file: string,
): NonNullable<ImageSteps['normalize']> {
  return {
    mean: required(config.image_mean, 'image_mean', file),
    std: required(config.image_std, 'image_std', file),
  };
}
