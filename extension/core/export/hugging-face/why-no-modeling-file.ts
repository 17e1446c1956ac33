import type { Refusal } from '../../models/capability';
import { patchModuleNames } from '../../models/encoders/encoder-architecture';
import type { EncoderArchitecture } from '../../models/encoders/encoder-architecture';
import type { Architecture } from '../../models/transformer/architecture';
import type { ModelConfig } from '../../models/transformer/model-config';
import type { Changes } from '../changes';
import type { CheckpointSource } from './checkpoint-source';
import { sublayerModules } from './modeling-file';
import { modelingModule, wholeClass } from './modeling-classes';
import type { NamedClasses } from './modeling-classes';
import { takesPatches } from './patch-modules';
import { explainNoWidths } from './width-modules';
import { say } from '../../message';
import type { Message } from '../../message';

/**
 * Explains why a family doesn't support a modeling file, or doesn't support patches in it, because a branch consists of
 * several modules.
 */
export function explainNoModelingFile(
  { family, configText }: Pick<CheckpointSource, 'family' | 'configText'>,
  changes: Changes,
): Refusal | undefined {
  const { patched, compressed } = changes;
  const named = JSON.parse(configText) as NamedClasses;
  if (family.kind === 'encoder') {
    const { architecture: encoder } = family;
    return encoder.otherModules === undefined
      ? (explainNoWidths(encoder, changes) ??
          whyNoEncoderFile(encoder, compressed, Object.keys(patched)))
      : noModules(encoder.otherModules);
  }
  if (family.kind !== 'decoder') {
    return undefined;
  }
  const { architecture, config } = family;
  const { modelType } = architecture;
  if (architecture.otherModules !== undefined) {
    return noModules(architecture.otherModules, architecture.end === undefined);
  }
  if (architecture.moduleNames !== undefined && Object.keys(compressed).length > 0) {
    return {
      code: 'matrices-not-expressible',
      reason: say`transformers names the modules of ${modelType} models differently than their tensors, so their layers can't be compressed.`,
      remedy: say`Choose dense, or write ONNX.`,
    };
  }
  const noWhole = explainNoWholeModel(architecture, named, compressed);
  if (noWhole !== undefined) {
    return noWhole;
  }
  const tooNarrow = explainNoWidths(architecture, changes, architecture.heads);
  if (tooNarrow !== undefined) {
    return tooNarrow;
  }
  const { attention, feedforward, mixer } = sublayerModules(architecture);
  const { addsStreamInside = [] } = architecture;
  if (architecture.attention.wiring.streamNorm !== undefined && Object.keys(patched).length > 0) {
    return {
      code: 'no-modeling-file',
      reason: say`${modelType} multiplies the stream where a sublayer is added to it, which a graph module doesn't support.`,
      remedy: say`Write ONNX.`,
    };
  }
  const lent = explainSharedKeys(architecture, config, changes);
  if (lent !== undefined) {
    return lent;
  }
  return Object.keys(patched).some((id) => {
    const branch = id.endsWith('.attention') ? 'attention' : 'feedforward';
    const own = branch === 'attention' ? attention : feedforward;
    const { parts } = id.endsWith('.mixer') && mixer !== undefined ? mixer : own;
    return parts.length > 1 || addsStreamInside.includes(branch);
  })
    ? {
        code: 'nothing-patchable',
        reason: say`transformers runs this sublayer of ${architecture.modelType} models in several modules, so a graph module can't replace it.`,
        remedy: say`Write ONNX.`,
      }
    : undefined;
}

const noModules = (reason: Message, losesBlocks = true): Refusal => ({
  ...{ code: 'no-modeling-file', reason },
  remedy: losesBlocks
    ? say`Remove whole blocks, choose zeroed, or write ONNX.`
    : say`Choose zeroed, or write ONNX.`,
});

/** Explains why the class of a model with a text tower isn't supported. */
function explainNoWholeModel(
  { modelType, textType, readsEmbedding = false }: Architecture,
  named: NamedClasses & { readonly auto_map?: unknown },
  compressed: Changes['compressed'],
): Refusal | undefined {
  if (textType === undefined) {
    return undefined;
  }
  const foreign = Object.entries(named.auto_map ?? {}).find(
    ([name, target]) =>
      /^Auto(?:Config|Model)/.test(name) && !String(target).startsWith(`${modelingModule}.`),
  );
  if (foreign !== undefined) {
    return {
      code: 'no-modeling-file',
      reason: say`The folder contains a custom class for this model, which a modeling file can't extend.`,
      field: `auto_map.${foreign[0]}`,
      remedy: say`Remove whole blocks, choose zeroed, or write ONNX.`,
    };
  }
  if (wholeClass(named) === undefined) {
    return {
      code: 'no-modeling-file',
      reason: say`config.json doesn't name the model's class, such as Gemma3ForConditionalGeneration.`,
      field: 'architectures',
      remedy: say`Add it to config.json, remove whole blocks, choose zeroed, or write ONNX.`,
    };
  }
  return readsEmbedding && compressed['embedding'] !== undefined
    ? {
        code: 'matrices-not-expressible',
        reason: say`transformers reads the embedding of ${modelType} models as floats, so it can't be compressed.`,
        remedy: say`Leave it out, choose dense, or write ONNX.`,
      }
    : undefined;
}

/** Explains why an attention sublayer whose keys and values a later one reads can't be changed. */
function explainSharedKeys(
  { sharedKeysBlock }: Architecture,
  config: ModelConfig,
  { remaining: kept, removed, patched }: Changes,
): Refusal | undefined {
  const readers = kept.filter(({ id }) => id.endsWith('.attention') && !(id in patched));
  const lenders = readers.flatMap(({ block }) => sharedKeysBlock?.(config, block) ?? []);
  const attentionId = (block: number): string => `block.${block}.attention`;
  const replaced = lenders.find((block) => attentionId(block) in patched);
  if (replaced !== undefined) {
    return {
      code: 'nothing-patchable',
      reason: say`Later blocks read the keys and values of ${attentionId(replaced)}, so a graph module can't replace it.`,
      remedy: say`Choose another sublayer, or write ONNX.`,
    };
  }
  const { compressed = {} } = config.espalier ?? {};
  const packed = lenders.find(
    (block) =>
      removed.includes(attentionId(block)) &&
      (compressed[attentionId(block)] !== undefined || Boolean(config.quantization_config)),
  );
  return packed === undefined
    ? undefined
    : {
        code: 'matrices-not-expressible',
        reason: say`Later blocks read the compressed keys and values of ${attentionId(packed)}, which can't remain without it.`,
        remedy: say`Remove it from the original and compress the result, or write ONNX.`,
      };
}

function whyNoEncoderFile(
  { modelType, modules }: EncoderArchitecture,
  compressed: Changes['compressed'],
  patched: readonly string[],
): Refusal | undefined {
  const places = Object.values(compressed).flatMap((matrices) => Object.keys(matrices));
  const split = places.find((place) => modules.splits?.includes(place));
  if (split !== undefined) {
    return {
      code: 'matrices-not-expressible',
      reason: say`transformers splits ${split} of ${modelType} models into several matrices, so it can't be compressed.`,
      remedy: say`Leave it out, choose dense, or write ONNX.`,
    };
  }
  const standing = patchModuleNames({ modules });
  const isPatchable = (['attention', 'feedforward'] as const).every((kind) =>
    takesPatches(modules[kind][standing[kind]] ?? ''),
  );
  return patched.length === 0 || isPatchable
    ? undefined
    : {
        code: 'nothing-patchable',
        reason: say`transformers runs this sublayer of ${modelType} models in several modules, so a graph module can't replace it.`,
        remedy: say`Write ONNX.`,
      };
}
