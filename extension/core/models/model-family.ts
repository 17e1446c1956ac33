import type { Checkpoint } from '../checkpoints/lazy-tensor';
import { UserError } from '../user-error';
import type { EncoderArchitecture } from './encoders/encoder-architecture';
import { knownEncoder } from './encoders/encoder-architectures';
import { parseEncoderConfig } from './encoders/encoder-config';
import type { EncoderConfig } from './encoders/encoder-config';
import { parseSeq2SeqConfig } from './seq2seq/seq2seq-family';
import type { Seq2SeqConfig, Seq2SeqFamily } from './seq2seq/seq2seq-family';
import { knownSeq2Seq } from './seq2seq/seq2seq-families';
import { parseStagedConfig } from './stages/staged-config';
import type { StagedConfig } from './stages/staged-config';
import { knownStaged } from './stages/staged-families';
import type { StagedFamily } from './stages/staged-family';
import type { Architecture } from './transformer/architecture';
import { findDecoderFamily } from './transformer/architectures';
import type { ConfigFields, ModelConfig } from './transformer/model-config';
import { baseModelType, parseModelConfig, readModelType } from './transformer/model-config';
import { say } from '../message';
import type { Message } from '../message';

/** Architecture that a config.json names, by kind of model. */
export type NamedFamily =
  | { readonly kind: 'decoder'; readonly architecture: Architecture }
  | { readonly kind: 'encoder'; readonly architecture: EncoderArchitecture }
  | { readonly kind: 'encoder-decoder'; readonly architecture: Seq2SeqFamily }
  | { readonly kind: 'stages'; readonly architecture: StagedFamily };

/** Decoder architecture in the variant of its config, and the parsed config. */
export interface DecoderFamily {
  readonly kind: 'decoder';
  readonly architecture: Architecture;
  readonly config: ModelConfig;
}

/** Architecture and parsed config of a model with a config.json or a GGUF header. */
export type ParsedFamily =
  | DecoderFamily
  | (Extract<NamedFamily, { kind: 'encoder' }> & { readonly config: EncoderConfig })
  | (Extract<NamedFamily, { kind: 'encoder-decoder' }> & { readonly config: Seq2SeqConfig })
  | (Extract<NamedFamily, { kind: 'stages' }> & { readonly config: StagedConfig });

/** Family of one kind. */
export type FamilyOf<Kind extends ParsedFamily['kind']> = Extract<ParsedFamily, { kind: Kind }>;

/** Model of a Hugging Face folder, with the family and text of config.json as they were read. */
export interface OpenedFolder<Model, Kind extends ParsedFamily['kind']> {
  readonly model: Model;
  readonly checkpoint: Checkpoint;
  readonly family: FamilyOf<Kind>;
  readonly configText: string;
}

/** Architecture and parsed config of a model; an ONNX graph has neither. */
export type ModelFamily = ParsedFamily | { readonly kind: 'graph' };

/** The only lookup of an architecture by config.json; undefined if none is known. */
export function findFamily(config: ConfigFields): NamedFamily | undefined {
  const seq2seq = knownSeq2Seq(config);
  if (seq2seq !== undefined) {
    return { kind: 'encoder-decoder', architecture: seq2seq };
  }
  const encoder = knownEncoder(config);
  if (encoder !== undefined) {
    return { kind: 'encoder', architecture: encoder };
  }
  const modelType = baseModelType(String(config['model_type']));
  const staged = knownStaged(modelType);
  if (staged !== undefined) {
    return { kind: 'stages', architecture: staged };
  }
  const architecture = findDecoderFamily(config, modelType);
  return architecture && { kind: 'decoder', architecture };
}

/**
 * The architecture that the text of a config.json names.
 * @throws UserError if it is not known, or if config.json has other faults and names none.
 */
export function requireFamily(configText: string, file: string): NamedFamily {
  const modelType = readModelType(configText);
  if (modelType === undefined) {
    parseModelConfig(configText, file);
    throw new UserError('field-missing', say`The field is missing.`, {
      file,
      field: 'model_type',
      remedy: say`Specify the architecture, as in the original config.json.`,
    });
  }
  const family = findFamily(JSON.parse(configText) as ConfigFields);
  if (family !== undefined) {
    return family;
  }
  const why = whyUnknownShape(modelType);
  if (why !== undefined) {
    throw new UserError(
      'architecture-unsupported',
      say`Architecture "${modelType}" is not supported. ${why}`,
      {
        file,
        field: 'model_type',
        remedy: say`Export it to ONNX. The page Models of the documentation lists what is supported.`,
      },
    );
  }
  throw new UserError(
    'architecture-unsupported',
    say`Architecture "${modelType}" is not supported.`,
    {
      file,
      field: 'model_type',
      remedy: say`Try it as a known family (\`espalier try-family\`), or export it to ONNX. The page Models of the documentation lists what is supported.`,
    },
  );
}

type NamedOf<Kind extends NamedFamily['kind']> = Extract<NamedFamily, { kind: Kind }>;

/**
 * Parses a config of a known architecture.
 * @throws UserError naming a field that cannot be read.
 */
export function parseFamily(
  family: NamedOf<'encoder'>,
  configText: string,
  file: string,
): FamilyOf<'encoder'>;
export function parseFamily(
  family: NamedOf<'encoder-decoder'>,
  configText: string,
  file: string,
): FamilyOf<'encoder-decoder'>;
export function parseFamily(family: NamedFamily, configText: string, file: string): ParsedFamily;
export function parseFamily(family: NamedFamily, configText: string, file: string): ParsedFamily {
  const { config: layout = {} } = family.architecture;
  switch (family.kind) {
    case 'decoder':
      return parseDecoder(family.architecture, configText, file);
    case 'encoder':
      return { ...family, config: parseEncoderConfig(configText, file, layout) };
    case 'encoder-decoder':
      return { ...family, config: parseSeq2SeqConfig(configText, file, layout) };
    case 'stages':
      return { ...family, config: parseStagedConfig(configText, file, layout) };
  }
}

/** Like {@link parseFamily}, for a decoder. */
export function parseDecoder(
  architecture: Architecture,
  configText: string,
  file: string,
): DecoderFamily {
  const config = parseModelConfig(configText, file, architecture.config);
  return {
    kind: 'decoder',
    architecture: { ...architecture, ...architecture.form?.(config) },
    config,
  };
}

/** Why models of a type can't be computed, nor tried as a known family, as sentences. */
const unknownShapes: Readonly<Record<string, Message>> = {
  longcat_flash: say`Each of its blocks has two attention layers, two MLPs and an MoE layer.`,
  jetmoe: say`The queries of its attention are computed by experts.`,
};

/** Reason that a type is not supported, if known. */
const whyUnknownShape = (modelType: string): Message | undefined =>
  Object.hasOwn(unknownShapes, modelType) ? unknownShapes[modelType] : undefined;
