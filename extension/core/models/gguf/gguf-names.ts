import type {
  Architecture,
  Biases,
  ExpertNames,
  MixerNames,
  OuterNames,
  Projection,
} from '../transformer/architecture';
import type { LatentNames } from '../parts/latent-heads';
import type { CompressedNames } from '../parts/compressed/compressed-parts';
import type { BlockEndNames } from '../transformer/block-end-names';
import type { ModelConfig } from '../transformer/model-config';
import { curveInGguf } from './gguf-curves';
import type { NormKind } from '../parts/norm';
import { renamedWiring, wiringNorms } from '../modules/wiring-names';
import type { GgufFamily } from './gguf-traits';

/** Blocks are named `blk.<number>.` */
export const ggufBlocks = 'blk';
/** Segments of encoders. */
const typeTable = 'token_types';
/** Learned positions. */
export const positionTable = 'position_embd';

/**
 * A family under the names of llama.cpp (gguf-py/gguf/tensor_mapping.py). The conversion has added
 * the offset to norms that have one.
 */
export function inGguf(known: Architecture, family: GgufFamily): Architecture {
  const { altUp, blockForm, connections, end, form, laurel } = known;
  return {
    ...known,
    norm: withOffsetAdded(known.norm),
    transposed: false,
    outer: outerInGguf(known.outer, family),
    ...(end === undefined ? {} : { end: endInGguf(end) }),
    ...(altUp === undefined ? {} : { altUp: { ...altUp, ...altUpInGguf } }),
    ...(laurel === undefined ? {} : { laurel: { ...laurel, ...laurelInGguf } }),
    ...(connections === undefined ? {} : { connections: { ...connections, ...connectionsInGguf } }),
    ...branchesInGguf(known, family),
    ...(known.experts === undefined ? {} : { experts: expertsInGguf(known.experts, family) }),
    ...(known.mixer === undefined ? {} : { mixer: mixerInGguf(known.mixer, family) }),
    biases: biasesInGguf,
    aliases: family.aliases ?? {},
    ...(family.halved === true ? { interleavedRotary: false } : {}),
    ...(blockForm === undefined
      ? {}
      : {
          blockForm: (config: ModelConfig, block: number) =>
            branchesInGguf({ ...known, ...blockForm(config, block) }, family),
        }),
    ...(form === undefined
      ? {}
      : {
          form: (config: ModelConfig): Partial<Architecture> => {
            const formed = form(config);
            return { ...formed, ...branchesInGguf({ ...known, ...formed }, family) };
          },
        }),
  };
}

/** The kind of a norm whose weights have their offset added. */
function withOffsetAdded(norm: NormKind): NormKind {
  return norm === 'rms-offset' ? 'rms' : norm === 'layer-offset' ? 'layer' : norm;
}

function outerInGguf(
  { embeddingNorm, finalNorm: last, headBias, perLayer: known, positions, types }: OuterNames,
  { finalNorm = 'output_norm' }: GgufFamily,
): OuterNames {
  return {
    prefixes: [''],
    embedding: 'token_embd',
    ...(last === undefined ? {} : { finalNorm }),
    heads: ['output'],
    blocks: ggufBlocks,
    ...(headBias === undefined ? {} : { headBias }),
    ...(embeddingNorm === undefined ? {} : { embeddingNorm: 'token_embd_norm' }),
    ...(positions !== undefined && 'name' in positions
      ? { positions: { name: positionTable, offset: 0 } }
      : {}),
    ...(types === undefined ? {} : { types: typeTable }),
    ...(known === undefined ? {} : { perLayer: { ...known, ...perLayer } }),
  };
}

const perLayer = {
  table: 'per_layer_token_embd',
  projection: 'per_layer_model_proj',
  norm: 'per_layer_proj_norm',
} as const;

const endInGguf = ({ perLayer: ofTokens, scale, factor }: BlockEndNames): BlockEndNames => ({
  ...(ofTokens === undefined
    ? {}
    : { perLayer: { gate: 'inp_gate', projection: 'proj', norm: 'post_norm' } }),
  ...(scale === undefined ? {} : { scale: () => 'altup_correct_scale.weight' }),
  ...(factor === undefined ? {} : { factor: 'layer_output_scale.weight' }),
});

const altUpInGguf = {
  enter: 'altup_proj',
  leave: 'altup_unembd_proj',
  norm: 'altup_router_norm',
  router: 'altup_router',
  predict: 'altup_predict_coef',
  correct: 'altup_correct_coef',
} as const;

const laurelInGguf = {
  left: 'laurel_l',
  right: 'laurel_r',
  postNorm: 'laurel_post_norm',
} as const;

const connectionsInGguf = {
  attention: 'hc_attn_',
  feedforward: 'hc_ffn_',
  head: 'output_hc_',
  ending: '.weight',
} as const;

const compressor = (before: string): CompressedNames['compressor'] => ({
  values: `${before}_compressor_kv`,
  gate: `${before}_compressor_gate`,
  places: `${before}_compressor_ape.weight`,
  norm: `${before}_compressor_norm`,
});

/** Of attention that reads compressed runs (src/models/deepseek4.cpp). */
const compressed: CompressedNames = {
  queryDown: 'attn_q_a',
  queryNorm: 'attn_q_a_norm',
  queryUp: 'attn_q_b',
  key: 'attn_kv',
  keyNorm: 'attn_kv_a_norm',
  sinks: 'attn_sinks.weight',
  groups: 'attn_output_a',
  compressor: compressor('attn'),
  indexer: {
    query: 'indexer.attn_q_b',
    weights: 'indexer.proj',
    compressor: compressor('indexer'),
  },
};

/** Of latent attention (src/models/deepseek2.cpp). */
const latent: LatentNames = {
  query: 'attn_q',
  queryDown: 'attn_q_a',
  queryNorm: 'attn_q_a_norm',
  queryUp: 'attn_q_b',
  keyValueDown: 'attn_kv_a_mqa',
  keyValueNorm: 'attn_kv_a_norm',
  keyValueUp: 'attn_kv_b',
  apart: { keyUp: 'attn_k_b', valueUp: 'attn_v_b' },
};

/** Of what chooses tokens (src/models/deepseek32.cpp). */
export const indexer = {
  queryUp: 'indexer.attn_q_b',
  key: 'indexer.attn_k',
  keyNorm: 'indexer.k_norm',
  weights: 'indexer.proj',
} as const;

function branchesInGguf(
  { attention, feedforward }: Architecture,
  { attentionNorm = 'attn_norm', feedforwardNorm = 'ffn_norm', splitsGateUp = false }: GgufFamily,
): Pick<Architecture, 'attention' | 'feedforward'> {
  const { norm } = feedforward.wiring;
  const isShared = norm !== undefined && norm === attention.wiring.norm;
  const { queryKeyValue, queryKeyNorms } = attention;
  const { gateUp } = feedforward;
  const inner = gateUp.kind === 'fused' ? 2 : gateUp.names.length;
  return {
    attention: {
      ...attention,
      wiring: renamedWiring(attention.wiring, {
        norm: isShared ? 'attn_norm' : attentionNorm,
        postNorm: 'post_attention_norm',
        sumNorm: 'attn_output_norm',
      }),
      queryKeyValue:
        queryKeyValue.kind === 'fused'
          ? { kind: 'fused', name: 'attn_qkv' }
          : {
              kind: 'separate',
              names: ['attn_q', 'attn_k', 'attn_v'].slice(0, queryKeyValue.names.length),
            },
      ...(attention.latent === undefined
        ? {}
        : {
            latent: { ...latent, ...(attention.latent.indexer === undefined ? {} : { indexer }) },
          }),
      ...(attention.compressed === undefined
        ? { output: 'attn_output' }
        : { output: 'attn_output_b', compressed }),
      ...(queryKeyNorms === undefined
        ? {}
        : { queryKeyNorms: { ...queryKeyNorms, query: 'attn_q_norm', key: 'attn_k_norm' } }),
      ...(attention.innerNorm === undefined ? {} : { innerNorm: 'attn_sub_norm' }),
      ...(attention.sinks === undefined ? {} : { sinks: 'attn_sinks.weight' }),
      ...(attention.gate === undefined ? {} : { gate: 'attn_gate' }),
    },
    feedforward: {
      ...feedforward,
      wiring: renamedWiring(feedforward.wiring, {
        norm: isShared ? 'attn_norm' : feedforwardNorm,
        postNorm: 'post_ffw_norm',
        sumNorm: 'layer_output_norm',
      }),
      gateUp:
        gateUp.kind === 'fused' && !splitsGateUp
          ? { ...gateUp, name: 'ffn_up' }
          : { kind: 'separate', names: ['ffn_gate', 'ffn_up'].slice(-inner) },
      down: 'ffn_down',
      ...(feedforward.curve === undefined ? {} : { curve: curveInGguf }),
      ...(feedforward.innerNorm === undefined ? {} : { innerNorm: 'ffn_sub_norm' }),
      // The conversion puts what takes turns into tensors of its own.
      takesTurns: false,
    },
  };
}

function mixerInGguf(known: MixerNames, { mixer }: GgufFamily): MixerNames {
  const { module = '', form } = mixer ?? {};
  return {
    ...known,
    wiring: renamedWiring(known.wiring, { norm: 'attn_norm' }),
    module,
    ...(form === undefined ? {} : { form: (config) => form(known.form(config), config) }),
  };
}

/** Experts of each token. */
const expertTable = 'ffn_gate_tid2eid.weight';

/** Router and experts have no module of their own. */
const inBlock = { modules: [''], router: 'ffn_gate_inp' } as const;

const gateAndUp = 'ffn_gate_up_exps.weight';
const gateUpApart = ['ffn_gate_exps.weight', 'ffn_up_exps.weight'] as const;

/** Names of a file's experts, which may have gates and ups in one tensor where Espalier writes two. */
export function readingGateUp({ experts }: Architecture): Partial<Architecture> {
  return experts?.joined === undefined || experts.joined.gateUp !== gateUpApart
    ? {}
    : {
        experts: {
          ...experts,
          joined: { ...experts.joined, gateUp: gateAndUp, apart: gateUpApart },
        },
      };
}

/** Experts beside a feed-forward, gates and ups in one tensor (src/models/gemma4.cpp). */
function apartInGguf(known: ExpertNames, apart: NonNullable<ExpertNames['apart']>): ExpertNames {
  return {
    ...known,
    ...inBlock,
    shareFactors: 'ffn_down_exps.scale',
    joined: { gateUp: gateAndUp, apart: gateUpApart, down: 'ffn_down_exps.weight' },
    apart: {
      ...apart,
      norm: 'pre_ffw_norm_2',
      routerScale: 'ffn_gate_inp.scale',
      postNorm: 'post_ffw_norm_2',
      sharedPostNorm: 'post_ffw_norm_1',
    },
    shared: ({ intermediate_size: inner }) => ({
      gateUp: { kind: 'separate', names: ['ffn_gate', 'ffn_up'] },
      down: 'ffn_down',
      inner,
    }),
  };
}

/** Every expert's gate lies in one tensor, and so do their ups and their downs. */
function expertsInGguf(known: ExpertNames, { splitsGateUp = false }: GgufFamily): ExpertNames {
  const { shared, choiceBias, byToken, gateUp, apart } = known;
  if (apart !== undefined) {
    return apartInGguf(known, apart);
  }
  return {
    ...known,
    ...inBlock,
    // llama.cpp has no place for it.
    sumBias: undefined,
    ...(choiceBias === undefined ? {} : { choiceBias: 'exp_probs_b.bias' }),
    ...(byToken === undefined ? {} : { byToken: { ...byToken, name: expertTable } }),
    joined: {
      gateUp: gateUp.length === 1 ? 'ffn_up_exps.weight' : gateUpApart,
      down: 'ffn_down_exps.weight',
      biases: known.joined?.biases ?? false,
    },
    ...(shared === undefined
      ? {}
      : {
          shared: (config: ModelConfig) => {
            const names = shared(config);
            return names === undefined
              ? undefined
              : {
                  ...names,
                  gateUp:
                    names.gateUp.kind === 'fused' && !splitsGateUp
                      ? { kind: 'fused', name: 'ffn_up_shexp' }
                      : {
                          kind: 'separate',
                          names: ['ffn_gate_shexp', 'ffn_up_shexp'].slice(-gateUp.length),
                        },
                  down: 'ffn_down_shexp',
                  ...(names.gate === undefined ? {} : { gate: 'ffn_gate_inp_shexp' }),
                };
          },
        }),
  };
}

/** Which parts have biases in the file; see `describeGguf`. */
function biasesInGguf({ gguf_biases: biases }: ModelConfig): Biases {
  return biases ?? { queryKeyValue: false, attentionOutput: false, feedforward: false };
}

/** Name of the table of positions. */
const tableOf = ({ positions }: OuterNames): string | undefined =>
  positions !== undefined && 'name' in positions ? positions.name : undefined;

/** Names below a block, or of the parts outside, by those that the same family has in GGUF files. */
export function partNames(known: Architecture, own: Architecture): Map<string, string> {
  const [prefix = ''] = known.outer.prefixes;
  const listed = ({ outer, attention, feedforward }: Architecture, before: string) => [
    `${before}${outer.embedding}`,
    `${before}${outer.finalNorm ?? ''}`,
    `${before}${outer.embeddingNorm ?? ''}`,
    `${before}${tableOf(outer) ?? ''}`,
    `${before}${outer.types ?? ''}`,
    outer.heads?.[0] ?? 'lm_head',
    ...wiringNorms.map((role) => attention.wiring[role]),
    ...projectionNames(attention.queryKeyValue),
    attention.output,
    attention.queryKeyNorms?.query,
    attention.queryKeyNorms?.key,
    attention.innerNorm,
    ...wiringNorms.map((role) => feedforward.wiring[role]),
    ...projectionNames(feedforward.gateUp),
    feedforward.down,
    feedforward.innerNorm,
  ];
  const usual = listed(known, prefix);
  return new Map(
    listed(own, '').flatMap((name, i): [string, string][] => {
      const other = usual[i];
      return name === undefined || other === undefined ? [] : [[name, other]];
    }),
  );
}

/** Names of the matrices of a projection. */
export function projectionNames(projection: Projection): readonly string[] {
  return projection.kind === 'separate' ? projection.names : [projection.name];
}
