import type { Architecture } from './architecture';
import type { ConfigFields, ConfigLayout } from './model-config';
import { alibiFamilies } from '../families/alibi';
import { decoderHalves } from '../families/decoder-halves';
import { gemmaFamilies } from '../families/gemma';
import { gemma3n } from '../families/gemma3n';
import { gemma4, gemma4Unified } from '../families/gemma4';
import { gptjFamilies, parallelFamilies } from '../families/parallel';
import { learnedPositionFamilies } from '../families/learned-positions';
import { llamaLikeFamilies, nemotronNas } from '../families/llama-like';
import { llamaRelatives } from '../families/llama-variants';
import { explainNoKnownClass } from '../families/shared-parts';
import { mixturesAndMixers } from '../families/mixtures/mixtures-and-mixers';
import { olderGpts } from '../families/older-gpts';
import { postNormFamilies } from '../families/post-norm';
import { seeingTowers } from '../families/multimodal-text-models';

/** Every family that a Hugging Face folder can be opened as. */
export const architectures: readonly Architecture[] = [
  ...llamaLikeFamilies,
  ...llamaRelatives,
  ...seeingTowers,
  ...gemmaFamilies,
  gemma3n,
  gemma4,
  gemma4Unified,
  ...learnedPositionFamilies,
  ...olderGpts,
  ...decoderHalves,
  ...parallelFamilies,
  ...gptjFamilies,
  ...alibiFamilies,
  ...postNormFamilies,
  ...mixturesAndMixers,
  nemotronNas,
];

/**
 * Decoder family for a config.json: by its `model_type`, or by the text tower's in a multimodal model, whose fields may
 * be at the top level, or the family that the model was opened as.
 */
export function findDecoderFamily(
  config: ConfigFields,
  modelType: string,
): Architecture | undefined {
  const { text_config: text } = config;
  const towerType =
    typeof text === 'object' && text !== null ? (text as ConfigFields)['model_type'] : undefined;
  const tower = typeof towerType === 'string' ? knownArchitecture(towerType) : undefined;
  const flat =
    text === undefined ? architectures.find(({ flatType }) => flatType === modelType) : undefined;
  return (
    knownArchitecture(modelType) ??
    (tower && asTextTower(tower, modelType, { nested: 'text_config' })) ??
    (flat && asTextTower(flat, modelType, {})) ??
    guessedFamily(config, modelType)
  );
}

/** The known family that a model of another type was tried as. */
function guessedFamily(config: ConfigFields, modelType: string): Architecture | undefined {
  const { espalier_guess: guess } = config;
  const family =
    typeof guess === 'object' && guess !== null ? (guess as ConfigFields)['family'] : undefined;
  const known = typeof family === 'string' ? knownArchitecture(family) : undefined;
  return known && asOtherType(known, modelType);
}

/** Copy of a family for another type with unknown modules. */
export function asOtherType(family: Architecture, modelType: string): Architecture {
  return {
    ...family,
    modelType,
    otherModules: explainNoKnownClass(modelType),
  };
}

/** A family as a part of a larger model, whose other parts are not run. */
function asTextTower(
  family: Architecture,
  modelType: string,
  place: Pick<ConfigLayout, 'nested'>,
): Architecture {
  return {
    ...family,
    modelType,
    textType: family.modelType,
    config: { ...family.config, ...place },
    embeddingAndHead: {
      ...family.embeddingAndHead,
      prefixes: [
        'model.language_model.',
        'language_model.model.',
        'language_model.',
        'model.text_model.',
        'model.',
      ],
      heads: ['lm_head', 'language_model.lm_head'],
    },
  };
}

/** The family of a `model_type`. */
export function knownArchitecture(modelType: string): Architecture | undefined {
  return architectures.find((known) => known.modelType === modelType);
}
