import { prunedClassPrefix } from '../../models/encoders/encoder-architecture';
import { headForm } from '../../models/encoders/encoder-layout';
import type { NamedFamily } from '../../models/model-family';
import { classNames } from '../../models/stages/staged-family';
import type { Architecture } from '../../models/transformer/architecture';

/** Name of the Python module written next to models that aren't ordinary models of their family. */
export const modelingModule = 'modeling_espalier';

/** Python classes for one model. */
export interface ModelingClasses {
  readonly stockConfig: string;
  readonly stockModel: string;
  /** Auto classes of transformers that load the model, the default first. */
  readonly autoModels: readonly [string, ...string[]];
  /** True if they find the class only through a modeling file. */
  readonly isUnlisted?: boolean;
  readonly config: string;
  readonly model: string;
}

/** Fields of a config.json that name classes. */
export interface NamedClasses {
  readonly model_type?: unknown;
  readonly is_encoder_decoder?: unknown;
  readonly architectures?: unknown;
  readonly text_config?: unknown;
  readonly vision_config?: unknown;
}

/**
 * Names of the transformers classes of a model. They follow from `model_type` (`qwen2` has `Qwen2Config`), with
 * exceptions.
 */
export function modelingClasses(
  { kind, architecture }: NamedFamily,
  named: NamedClasses,
): ModelingClasses {
  const names = namesIn(named.architectures);
  switch (kind) {
    case 'encoder-decoder': {
      const { classes, auto } = architecture;
      return names.some((name) => name.endsWith(classes.model))
        ? own(classes.config, classes.model, ['AutoModel'])
        : own(classes.config, classes.head, [auto]);
    }
    case 'encoder': {
      const head = headForm(architecture, { architectures: names });
      const stockModel = head?.class ?? architecture.classes.model;
      const auto = head?.auto ?? 'AutoModel';
      const classes = own(architecture.classes.config, stockModel, [auto]);
      // AutoModelForTextEncoding supports few text towers.
      return head?.gives === undefined ? classes : { ...classes, isUnlisted: true };
    }
    case 'stages': {
      const classes = classNames(architecture);
      return names.some((name) => name.endsWith(classes.head))
        ? own(classes.config, classes.head, ['AutoModelForImageClassification'])
        : own(classes.config, classes.model, ['AutoModel']);
    }
    case 'decoder':
      return architecture.textType === undefined
        ? decoderClasses(architecture)
        : wholeClasses(named);
  }
}

/** Classes of a decoder, or of the text tower that is one. */
export function decoderClasses({
  modelType,
  textType = modelType,
  classes,
}: Pick<Architecture, 'modelType' | 'textType'> & {
  readonly classes?: Architecture['classes'] | undefined;
}): ModelingClasses {
  const family = textType.charAt(0).toUpperCase() + textType.slice(1);
  const defaultAutoModel = 'AutoModelForCausalLM';
  return own(
    classes?.config ?? `${family}Config`,
    classes?.model ?? `${family}ForCausalLM`,
    classes?.auto === undefined ? [defaultAutoModel] : [classes.auto, defaultAutoModel],
  );
}

/**
 * Classes of a model with a text tower. Only config.json names its class, which knows its
 * configuration.
 */
function wholeClasses(config: NamedClasses): ModelingClasses {
  const stockModel = wholeClass(config) ?? '';
  const stockConfig = `${stockModel.replace(/(?:For[A-Z]\w*|Model)$/, '')}Config`;
  return own(stockConfig, stockModel, wholeAutoModels(config, stockModel));
}

function wholeAutoModels(config: NamedClasses, model: string): ModelingClasses['autoModels'] {
  if (model.endsWith('Model')) {
    return ['AutoModel'];
  }
  const others = ['AutoModelForMultimodalLM', 'AutoModelForCausalLM'] as const;
  return config.vision_config === undefined ? others : ['AutoModelForImageTextToText', ...others];
}

/** The class in transformers of a model with a text tower. */
export function wholeClass({ architectures }: NamedClasses): string | undefined {
  const [name] = namesIn(architectures);
  return name?.startsWith(prunedClassPrefix) === true ? name.slice(prunedClassPrefix.length) : name;
}

function own(
  stockConfig: string,
  stockModel: string,
  autoModels: ModelingClasses['autoModels'],
): ModelingClasses {
  return {
    stockConfig,
    stockModel,
    autoModels,
    config: `${prunedClassPrefix}${stockConfig}`,
    model: `${prunedClassPrefix}${stockModel}`,
  };
}

function namesIn(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((name) => typeof name === 'string') : [];
}

/** Python statement of modeling_espalier.py for versions of transformers that are too old. */
export const raiseTooOld = 'raise ImportError("this file needs transformers 5 or later")';
