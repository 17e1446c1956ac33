import { basename } from 'node:path';
import { UserError } from '../user-error';
import { able, hasOwnParts, toRefusal, unable } from './capability';
import type { Capability } from './capability';
import { takesRecordings, textPort } from './example';
import type { ReadingModel } from './example';
import type { LayeredModel } from './layered-model';
import type { ModelMatrix } from './matrix-encoding';
import { mixesStreams } from './model-emitter';
import { hasTrainableRouters } from './layered-model';
import type { ModelSummary, SublayerKind } from './model-summary';
import type { ModelHeaders } from './model-headers';
import { ownWidth, explainNotWidthPrunable } from './width-pruning/explain-not-width-prunable';
import { explainNoTokenizer } from './tokenizer-place';
import { joined, say } from '../message';
import type { Message } from '../message';

/** Actions that can be requested for a model. */
export const capabilityNames = [
  'run',
  'readText',
  'giveLogits',
  'evaluate',
  'generate',
  'keepCache',
  'removeAttention',
  'removeFeedforward',
  'removeBlocks',
  'removeExperts',
  'compress',
  'pruneWidth',
  'repair',
  'patch',
] as const;
export type CapabilityName = (typeof capabilityNames)[number];

/**
 * Supported actions of a model, determined from its headers: running; reading text with its
 * tokenizer; returning logits; evaluation by perplexity or tasks; generation; KV caching; removal
 * of sublayers or experts; compression and repair of its linear layers; width pruning and patching
 * of its sublayers; and export.
 */
export type Capabilities = Readonly<Record<CapabilityName, Capability>>;

export function readCapabilities(model: LayeredModel, headers: ModelHeaders): Capabilities {
  const run = runs(model);
  const parts = hasOwnParts(model.summary);
  const readText = firstRefusal(readsText(model), () => hasTokenizer(model, headers));
  const nextTokens = predictsNextToken(model);
  const decodes = firstRefusal(
    run,
    () => nextTokens,
    () => readText,
  );
  const writesDown = firstRefusal(
    run,
    () => nextTokens,
    () => hasTokenizer(model, headers),
  );
  return {
    run,
    readText,
    giveLogits: givesLogits(model),
    evaluate: takesRecordings(model) ? writesDown : decodes,
    generate: decodes,
    keepCache: keepsCache(model.summary),
    removeAttention: firstRefusal(parts, () => hasSublayers(model.summary, 'attention')),
    removeFeedforward: firstRefusal(parts, () => hasSublayers(model.summary, 'feedforward')),
    removeBlocks: firstRefusal(parts, () => hasBlocks(model.summary)),
    removeExperts: firstRefusal(parts, () => hasExperts(model.summary)),
    compress: firstRefusal(
      run,
      () => parts,
      () => takesEncodings(headers),
      () => hasMatrices(model),
      () => hasDenseMatrices(model),
    ),
    pruneWidth: firstRefusal(run, () => hasWidths(model)),
    repair: firstRefusal(
      run,
      () => parts,
      () => takesRepairs(headers, model),
      () => hasMatrices(model),
    ),
    patch: firstRefusal(
      run,
      () => parts,
      () => takesPatches(headers),
      () => hasOneTower(model),
      () => hasOneWidth(model),
      () => addsToOneStream(model),
    ),
  };
}

/** Returns the first unmet condition. Conditions after it are not evaluated. */
function firstRefusal(first: Capability, ...others: readonly (() => Capability)[]): Capability {
  return others.reduce((found, next) => (found.able ? next() : found), first);
}

function runs(model: LayeredModel): Capability {
  try {
    model.requireRunnable();
    return able;
  } catch (error) {
    if (!(error instanceof UserError)) {
      throw error;
    }
    const { field, remedy = say`Save the model in float32, float16 or bfloat16.` } = error.subject;
    return unable(
      'dtype-not-runnable',
      field === undefined ? error.problem : say`${field}: ${error.problem}`,
      remedy,
    );
  }
}

/** Inputs of a model that reads the ids of a source and of a target. */
const sourceAndTargetIds = ['input_ids', 'decoder_input_ids'];

function readsText({
  summary,
  ...model
}: ReadingModel & Pick<LayeredModel, 'summary'>): Capability {
  const { inputs } = model;
  if (
    textPort(model) === undefined &&
    sourceAndTargetIds.every((id) => inputs.some(({ name }) => name === id))
  ) {
    return unable(
      'no-text-input',
      say`Source and target of ${summary.name} have separate vocabularies, which one tokenizer can't read.`,
      say`Choose examples of its inputs in a .npz file.`,
    );
  }
  return textPort(model) === undefined
    ? unable(
        'no-text-input',
        say`${summary.name} takes ${inputs.map(({ name }) => name).join(', ')} as input, not text.`,
        say`Choose examples of its inputs: a folder of images or .wav files, or a .npz file.`,
      )
    : able;
}

function hasTokenizer({ summary }: LayeredModel, headers: ModelHeaders): Capability {
  const missing =
    headers.format === 'gguf'
      ? headers.header.metadata.has('tokenizer.ggml.tokens')
        ? undefined
        : {
            code: 'no-tokenizer' as const,
            reason: say`${basename(summary.path)} has no tokenizer.`,
            remedy: say`Convert the model again with its tokenizer.`,
          }
      : explainNoTokenizer(summary.path);
  return missing === undefined ? able : unable(missing.code, missing.reason, missing.remedy);
}

/** True if each row of the output predicts the next token, so that perplexity is defined. */
export function predictsNextToken({
  output,
  summary,
}: Pick<LayeredModel, 'output' | 'summary'>): Capability {
  return output.seesWhole === true
    ? unable(
        'sees-whole-input',
        say`Perplexity needs a model that predicts the next token; ${summary.name} sees the whole input at every position.`,
        say`Profile it with another metric, such as js or norm.`,
      )
    : givesLogits({ output });
}

/** True if the output contains logits of classes or tokens, whose probabilities can be compared. */
export function givesLogits({ output }: Pick<LayeredModel, 'output'>): Capability {
  return output.givesScores
    ? able
    : unable(
        'no-logits',
        say`The output ${output.name} contains values, not logits.`,
        say`Choose the metric norm or angular.`,
      );
}

function keepsCache({ name, sublayers }: ModelSummary): Capability {
  return sublayers.some(({ kvBytesPerToken }) => kvBytesPerToken > 0)
    ? able
    : unable(
        'no-key-value-cache',
        say`${name} caches no keys and values between tokens.`,
        say`Only decoders with attention have a key/value cache.`,
      );
}

function hasSublayers({ name, sublayers }: ModelSummary, kind: SublayerKind): Capability {
  return sublayers.some((sublayer) => sublayer.kind === kind)
    ? able
    : unable(
        'none-of-kind',
        kind === 'feedforward'
          ? say`${name} has no removable MLP.`
          : say`${name} has no removable ${kind} sublayer.`,
        say`Choose another granularity.`,
      );
}

function hasBlocks({ name, blocks, warnings }: ModelSummary): Capability {
  return blocks > 0
    ? able
    : unable(
        'none-of-kind',
        warnings[0] ?? say`${name} has no removable block.`,
        say`Choose a model with a residual stream.`,
      );
}

function hasExperts({ name, sublayers }: ModelSummary): Capability {
  const spare = sublayers.some(({ experts }) => (experts?.count ?? 0) > (experts?.least ?? 1));
  return spare
    ? able
    : unable(
        'none-of-kind',
        say`${name} has no MoE layer whose experts can be removed individually.`,
        say`Choose the granularity sublayer or block.`,
      );
}

/** Way out of GGUF, for all that its files cannot hold. */
const convertedBack = say`Write the Hugging Face folder with the layout dense, and convert the result to GGUF, optionally in a smaller type.`;

/** True if a file of this format can store compressed encodings. */
export function takesEncodings({ format }: Pick<ModelHeaders, 'format'>): Capability {
  return format === 'gguf'
    ? unable(
        'keeps-own-packing',
        say`GGUF files can't store compressed layers: llama.cpp reads neither low-rank nor MPO matrices, and has its own types for int8 and int4.`,
        convertedBack,
      )
    : able;
}

/** Routers of a GGUF file can be repaired: they are stored in floats. */
function takesRepairs(headers: Pick<ModelHeaders, 'format'>, model: LayeredModel): Capability {
  return headers.format === 'gguf' && hasTrainableRouters(model) ? able : takesEncodings(headers);
}

/** True if a file of this format can store symbolic patches. */
export function takesPatches({ format }: Pick<ModelHeaders, 'format'>): Capability {
  return format === 'gguf'
    ? unable(
        'keeps-own-packing',
        say`A GGUF file can be inspected, profiled and pruned, but not patched: llama.cpp can't run graph modules.`,
        say`Patch the Hugging Face folder the file was made from.`,
      )
    : able;
}

/** Patches require a single decoder or encoder. */
function hasOneTower({ kind, summary }: LayeredModel): Capability {
  return kind === 'encoder-decoder'
    ? unable(
        'several-towers',
        say`${summary.name} is an encoder–decoder model: its sublayers can be removed, compressed, width pruned and repaired, but not patched.`,
        say`Prune or compress it, or choose a decoder or an encoder.`,
      )
    : able;
}

/** Patches require blocks of equal width. */
function hasOneWidth({ kind, summary }: LayeredModel): Capability {
  return kind === 'stages'
    ? unable(
        'several-widths',
        say`${summary.name} has stages with different hidden sizes: its sublayers can be removed, compressed and repaired, but not patched.`,
        say`Prune or compress it, or choose a model with one width.`,
      )
    : able;
}

/** Replacement modules require a single residual stream. */
function addsToOneStream({ emitter, summary }: LayeredModel): Capability {
  return mixesStreams(emitter)
    ? unable(
        'several-streams',
        say`Sublayers of ${summary.name} mix several streams: they can be removed, compressed and repaired, but not patched.`,
        say`Prune or compress it, or choose a model with one residual stream.`,
      )
    : able;
}

/** Linear layers and matrices outside the blocks that can be compressed or trained. */
const linearLayers = (model: LayeredModel): readonly ModelMatrix[] => [
  ...model.summary.sublayers.flatMap((_, index) => model.sublayer(index).linearLayers),
  ...model.embeddingAndHeadMatrices,
];

function hasMatrices(model: LayeredModel): Capability {
  return linearLayers(model).length > 0
    ? able
    : unable(
        'nothing-to-compress',
        say`${model.summary.name} has no linear layers that can be compressed or repaired.`,
        say`Choose a model with linear layers.`,
      );
}

function hasDenseMatrices(model: LayeredModel): Capability {
  return linearLayers(model).some(({ encoding }) => encoding === undefined)
    ? able
    : unable(
        'nothing-to-compress',
        say`Every linear layer of ${model.summary.name} is compressed already.`,
        say`Compress the model that it was made from.`,
      );
}

function hasWidths(model: LayeredModel): Capability {
  const { sublayers, name } = model.summary;
  const wide = sublayers.findIndex(({ kind }) => kind === 'feedforward' || kind === 'attention');
  const { reason, remedy } = explainNotWidthPrunable(model, Math.max(wide, 0)) ?? {
    reason: say`It has no sublayers.`,
    remedy: say`Choose a model with a residual stream.`,
  };
  return sublayers.some((_, index) => ownWidth(model, index) !== undefined)
    ? able
    : unable(
        'no-widths',
        say`${name} has no sublayer whose width can be pruned. ${reason}`,
        remedy,
      );
}

/** Reason and way out by what a model cannot do, in words for people. */
export type Unable = Readonly<Partial<Record<CapabilityName, Message>>>;

export function listRefusals(capabilities: Capabilities): Unable {
  return Object.fromEntries(
    capabilityNames.flatMap((name) => {
      const refusal = toRefusal(capabilities[name]);
      return refusal === undefined ? [] : [[name, joined([refusal.reason, refusal.remedy])]];
    }),
  );
}
