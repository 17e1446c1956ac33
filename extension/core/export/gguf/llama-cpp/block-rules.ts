import {
  sparseLayerType,
  defaultCompressionRates,
} from '../../../models/families/mixtures/deepseek-v4';
import { ratiosKey, tableBlocks } from '../../../models/gguf/deepseek4';
import {
  denseBlocks,
  expertGroups,
  ggufFields,
  windowPattern,
} from '../../../models/gguf/gguf-fields';
import { hasIndexer, indexerTypes } from '../../../models/gguf/gguf-newer-families';
import { t5Keys } from '../../../models/gguf/t5-families';
import { towerBlocks } from '../../../models/gguf/t5-gguf';
import { hasWindows } from '../../../models/gguf/gguf-windows';
import { blockParts, configSizes } from '../folder-model';
import { unevenWidth, widthPrunedKinds } from '../gguf-sizes';
import { hasMixture, hasWindow, isArchitecture } from './rule';
import type { LlamaCppFacts, LlamaCppRule } from './rule';
import { counted, say } from '../../../message';
import type { Message } from '../../../message';

const hasRotary = ({ architecture, config }: LlamaCppFacts, block: number): boolean =>
  architecture.turns?.(config, block) ?? true;

const isSparse = (facts: LlamaCppFacts, block: number): boolean =>
  blockParts(facts, block).includes('expert');

/** True if llama.cpp gives a block a rotary embedding: all but the last of `every` blocks. */
const isRotatedAt = (every: number | undefined, block: number): boolean =>
  every === undefined || (block + 1) % every !== 0;

/** Number of blocks at which llama.cpp reads queries without a latent if the vocabulary has this size. */
const [plainBlocks, plainVocabulary] = [48, 128_256] as const;

/** Blocks of Command R from which on llama.cpp reads norms of queries and keys (src/models/command-r.cpp). */
const queryNormsFrom = 64;

const isBlocks = ({ layout }: LlamaCppFacts): boolean => layout === 'blocks';

const hasDecoder = ({ decoder }: LlamaCppFacts): boolean => decoder !== undefined;

const removeGroups = (every: number): Message => say`Remove the last blocks, or ${every} in a row.`;

/** Blocks and experts that llama.cpp expects. */
export const blockRules: readonly LlamaCppRule[] = [
  {
    field: 'mlp_layer_types',
    key: tableBlocks,
    applies: ({ architecture }) => architecture.experts?.parts?.table !== undefined,
    check: ({ architecture, config, target }, { blocks }) => {
      const hasTable = blocks.map(
        (block) => architecture.experts?.parts?.table?.appliesTo(config, block) === true,
      );
      const first = hasTable.indexOf(false);
      const other = first < 0 ? -1 : hasTable.indexOf(true, first);
      return other < 0
        ? undefined
        : {
            reason: say`llama.cpp expects the blocks of ${target.architecture} models whose experts are chosen by a table first, and block ${blocks[other] ?? 0} follows one without a table.`,
          };
    },
  },
  {
    field: 'layer_types',
    key: ratiosKey,
    applies: ({ architecture }) => architecture.compressed !== undefined,
    check: ({ architecture, config, target }, { blocks }) =>
      blocks.some(
        (block) =>
          architecture.compressed?.(config, block).rate ===
          defaultCompressionRates[sparseLayerType],
      )
        ? undefined
        : {
            reason: say`llama.cpp expects a block with chunks of ${defaultCompressionRates[sparseLayerType] ?? 0} tokens in ${target.architecture} models, and none remains.`,
            remedy: say`Keep a block with chunks of ${defaultCompressionRates[sparseLayerType] ?? 0} tokens.`,
          },
  },
  {
    field: 'num_experts',
    key: ggufFields.num_experts,
    applies: hasMixture,
    check: ({ target }, { expertCounts }) =>
      new Set(expertCounts.values()).size < 2
        ? undefined
        : {
            reason: say`llama.cpp reads one number of experts for all blocks of ${target.architecture} models, and ${[...new Set(expertCounts.values())].join(', ')} would remain.`,
            remedy: say`Remove the same number of experts from every block, as \`espalier score-experts --ratio\` plans it. A Hugging Face folder or an ONNX file can have different numbers.`,
          },
  },
  {
    field: 'n_group',
    key: expertGroups,
    // The conversion of a folder writes no number of groups if there is only one.
    applies: (facts) => facts.source === 'header' && hasMixture(facts),
    check: ({ config, target }, { expertCounts }) => {
      const least = Math.min(...expertCounts.values());
      const groups = config.n_group ?? 0;
      return least > groups
        ? undefined
        : {
            reason: say`llama.cpp needs more experts than groups in ${target.architecture} models: ${counted(least, 'expert')} would remain, in ${counted(groups, 'group')}.`,
            remedy: say`Keep at least ${groups + 1} experts in every block.`,
          };
    },
  },
  {
    field: 'num_experts',
    key: ggufFields.num_experts,
    applies: (facts) => hasMixture(facts) && facts.target.family.sparseByTensors !== true,
    check: (facts, { blocks }) => {
      const { config, target } = facts;
      const { fields = {}, sparseEvery = '', hasSingles = false } = target.family;
      const sparse = blocks.map((block) => isSparse(facts, block));
      const every = Number((config as Readonly<Record<string, unknown>>)[sparseEvery] ?? 1);
      const hasDense = Object.values(fields).includes(denseBlocks);
      const dense = hasDense ? sparse.filter((is) => !is).length : 0;
      const expects = (block: number): boolean => block >= dense && (block + 1) % every === 0;
      const other = hasSingles
        ? blocks.findIndex((block) => blockParts(facts, block).includes('feedforward'))
        : sparse.findIndex((is, block) => is !== expects(block));
      return other < 0
        ? undefined
        : {
            reason:
              sparse[other] === true
                ? say`llama.cpp expects a dense MLP in block ${other} of this ${target.architecture} model, and block ${blocks[other] ?? 0} has experts.`
                : say`llama.cpp expects experts in block ${other} of this ${target.architecture} model, and block ${blocks[other] ?? 0} has a dense MLP.`,
            ...(every > 1 ? { remedy: removeGroups(every) } : {}),
          };
    },
  },
  {
    field: 'layer_types',
    key: 'block_count',
    applies: ({ target }) => target.family.mixed !== undefined,
    check: (facts, { blocks }) => {
      const { architecture } = facts.target;
      const kinds = new Set(blocks.flatMap((block) => blockParts(facts, block)));
      const missing = (['attention', 'mixer'] as const).find((kind) => !kinds.has(kind));
      return missing === undefined
        ? undefined
        : {
            reason:
              missing === 'attention'
                ? say`llama.cpp expects a block with attention in ${architecture} models, and none remains.`
                : say`llama.cpp expects a block without attention in ${architecture} models, and none remains.`,
            remedy: say`Keep a block with attention and one without.`,
          };
    },
  },
  {
    field: 'num_hidden_layers',
    key: ggufFields.num_hidden_layers,
    // Otherwise the flags of the windows tell.
    applies: ({ target: { family } }) =>
      family.windows === undefined || family.unrotatedEvery !== undefined,
    check: (facts, { blocks }) => {
      const { architecture, family } = facts.target;
      const { unrotatedEvery: every } = family;
      const other = blocks.findIndex(
        (source, block) => hasRotary(facts, source) !== isRotatedAt(every, block),
      );
      return other < 0
        ? undefined
        : {
            reason: say`llama.cpp decides by block number which blocks of ${architecture} models have a rotary embedding, and would run block ${blocks[other] ?? 0} differently as block ${other}.`,
            ...(every === undefined ? {} : { remedy: removeGroups(every) }),
          };
    },
  },
  {
    field: 'num_hidden_layers',
    key: ggufFields.num_hidden_layers,
    applies: isArchitecture('llama4'),
    check: (facts, { blocks }) =>
      blocks.every((block) => hasRotary(facts, block))
        ? {
            reason: say`llama.cpp expects a block without a rotary embedding in ${facts.target.architecture} models, and none remains.`,
            remedy: say`Keep at least ${facts.target.family.unrotatedEvery ?? 0} blocks.`,
          }
        : undefined,
  },
  {
    field: 'use_qk_norm',
    key: ggufFields.num_hidden_layers,
    applies: (facts) => isArchitecture('command-r')(facts) && facts.config.use_qk_norm === true,
    check: ({ target }, { blocks }) =>
      blocks.length >= queryNormsFrom
        ? undefined
        : {
            reason: say`llama.cpp reads norms of queries and keys only in ${target.architecture} models of at least ${counted(queryNormsFrom, 'block')}.`,
          },
  },
  {
    field: 'q_lora_rank',
    key: ggufFields.num_hidden_layers,
    applies: ({ architecture, target }) =>
      target.family.plainQueriesAt !== undefined && architecture.latent !== undefined,
    check: ({ source, architecture, config, target }, { blocks: { length: blocks } }) => {
      const { plainQueriesAt = [] } = target.family;
      // A file with as many blocks as before is as valid as before.
      const isSame = source === 'header' && blocks === config.num_hidden_layers;
      const isPlain = architecture.latent?.(config).queryRank === undefined;
      const readsPlain =
        plainQueriesAt.includes(blocks) ||
        (blocks === plainBlocks && config.vocab_size === plainVocabulary);
      return isSame || readsPlain === isPlain
        ? undefined
        : {
            reason: isPlain
              ? say`llama.cpp reads ${target.architecture} models without latent queries only with some numbers of blocks, not ${blocks}.`
              : say`llama.cpp reads ${target.architecture} models of ${counted(blocks, 'block')} without latent queries, and this model has them.`,
            remedy: say`Remove another number of blocks.`,
          };
    },
  },
  {
    field: 'sliding_window',
    key: ggufFields.num_hidden_layers,
    check: (facts, { blocks }) => {
      const { windows } = facts.target.family;
      const isRead = windows !== undefined && hasWindows(windows, blocks.length);
      return !isRead && blocks.some((block) => hasWindow(facts, block))
        ? {
            reason: say`llama.cpp runs this ${facts.target.architecture} model without sliding windows.`,
          }
        : undefined;
    },
  },
  {
    field: 'layer_types',
    key: windowPattern,
    // A header without a window size has no windows.
    applies: (facts) =>
      facts.target.family.windows?.mayLack !== true &&
      (facts.source === 'config' ||
        Array.from({ length: facts.config.num_hidden_layers }).some((_, block) =>
          hasWindow(facts, block),
        )),
    check: (facts, { blocks }) => {
      const { windows } = facts.target.family;
      return windows === undefined ||
        !hasWindows(windows, blocks.length) ||
        blocks.some((block) => hasWindow(facts, block))
        ? undefined
        : {
            reason: say`llama.cpp expects a block with a sliding window in ${facts.target.architecture} models, and none remains.`,
            remedy: say`Keep a block with a sliding window.`,
          };
    },
  },
  {
    field: 'layer_types',
    key: windowPattern,
    applies: ({ target }) => target.family.windows?.needsFull === true,
    check: (facts, { blocks }) =>
      blocks.every((block) => hasWindow(facts, block))
        ? {
            reason: say`llama.cpp expects a block without a sliding window in ${facts.target.architecture} models, and none remains.`,
            remedy: say`Keep a block without a sliding window.`,
          }
        : undefined,
  },
  {
    field: 'query_pre_attn_scalar',
    key: ggufFields.num_hidden_layers,
    applies: ({ target }) => target.family.windows?.scaledByWidthAt !== undefined,
    check: ({ config, target }, { blocks: { length: blocks } }) => {
      const { heads, headDim } = configSizes(config);
      const isByWidth = blocks === target.family.windows?.scaledByWidthAt;
      const known = isByWidth ? config.hidden_size / heads : headDim;
      const scalar = config.query_pre_attn_scalar ?? headDim;
      return scalar === known
        ? undefined
        : {
            reason: say`llama.cpp scales attention in ${target.architecture} models of ${counted(blocks, 'block')} by ${known}^-0.5, not by ${scalar}^-0.5.`,
            remedy: say`Remove another number of blocks.`,
          };
    },
  },
  {
    field: 'num_hidden_layers',
    key: ggufFields.num_hidden_layers,
    // The conversion of a folder puts the factor into the weights.
    applies: (facts) => facts.source === 'header' && isArchitecture('minicpm3')(facts),
    check: ({ config: { num_hidden_layers: before }, target }, { blocks: { length: after } }) =>
      after === before
        ? undefined
        : {
            reason: say`llama.cpp scales the branches of ${target.architecture} models by their number of blocks, so ${counted(before, 'block')} can't become ${after}.`,
          },
  },
  {
    field: 'indexer_types',
    key: indexerTypes,
    applies: isArchitecture('glm-dsa'),
    check: ({ config, target }, { blocks: [first = 0] }) =>
      hasIndexer(config, first)
        ? undefined
        : {
            reason: say`llama.cpp expects the first block of ${target.architecture} models to select tokens, and block ${first} reuses the selection of the previous block.`,
            remedy: say`Keep a block that selects tokens before it.`,
          },
  },
  {
    field: 'intermediate_size',
    applies: isArchitecture('nomic-bert-moe'),
    check: ({ target }, changes) =>
      widthPrunedKinds(changes).includes('feedforward')
        ? {
            reason: say`llama.cpp needs MLPs with the width of the experts in a ${target.architecture} model.`,
          }
        : undefined,
  },
];

/** Widths of a standard model's blocks, and numbers of blocks in the encoder and the decoder. */
export const sizeRules: readonly LlamaCppRule[] = [
  {
    applies: isBlocks,
    check: ({ summary: { architecture }, target }, changes) => {
      const { sizesDiffer = false, needsOneSize = !sizesDiffer } = target.family;
      const uneven = needsOneSize ? unevenWidth(changes) : undefined;
      return uneven === undefined
        ? undefined
        : {
            code: 'uneven-widths',
            reason: say`llama.cpp needs blocks of one size in a ${architecture} model, but ${uneven} has another.`,
            remedy: say`Keep the same number of channels in every MLP and of heads in every attention layer, or write a Hugging Face folder or ONNX.`,
          };
    },
  },
  {
    applies: isBlocks,
    check: ({ summary: { architecture }, target }, changes) => {
      const { takesFewerHeads = false, windows } = target.family;
      const isRead = takesFewerHeads && windows?.scaledByWidthAt !== changes.blocks.length;
      return isRead || !widthPrunedKinds(changes).includes('attention')
        ? undefined
        : {
            code: 'uneven-widths',
            reason: say`llama.cpp can't load a ${architecture} model with fewer heads.`,
            remedy: say`Prune the width of MLPs only, or write a Hugging Face folder or ONNX.`,
          };
    },
  },
  {
    field: 'decoder_layers',
    key: t5Keys.decoderBlocks,
    applies: hasDecoder,
    check: ({ summary, target }, { blocks }) => {
      const { encoder, decoder } = towerBlocks(summary, blocks);
      return encoder > 0 && decoder > 0
        ? undefined
        : {
            code: 'blocks-not-removable',
            reason: say`${target.architecture} models need at least one block in the encoder and one in the decoder.`,
            remedy: say`Keep at least one sublayer in each.`,
          };
    },
  },
  {
    field: 'decoder_layers',
    key: t5Keys.decoderBlocks,
    applies: hasDecoder,
    check: ({ summary, target }, { blocks }) => {
      const { encoder, decoder } = towerBlocks(summary, blocks);
      return encoder >= decoder
        ? undefined
        : {
            code: 'blocks-not-removable',
            reason: say`llama.cpp can't load a ${target.architecture} model with more blocks in the decoder than in the encoder (${decoder}, ${encoder}).`,
            remedy: say`Remove the same number of blocks from the decoder, or write a Hugging Face folder or ONNX.`,
          };
    },
  },
];
