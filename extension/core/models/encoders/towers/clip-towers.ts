import { say } from '../../../message';
import type { ConfigFields } from '../../transformer/model-config';
import type { EncoderArchitecture, HeadForm } from '../encoder-architecture';
import { allBiases, epsilonName } from '../text-encoders';
import { classifies } from '../vit-like';
import type { Named } from '../vit-like';
import { preNorm } from '../../modules/wiring-names';

/** Blocks of both towers of CLIP-like models. */
const clipBlocks = {
  blocks: 'encoder.layers',
  attention: {
    wiring: preNorm('layer_norm1'),
    queryKeyValue: ['self_attn.q_proj', 'self_attn.k_proj', 'self_attn.v_proj'],
    output: 'self_attn.out_proj',
  },
  feedforward: {
    wiring: preNorm('layer_norm2'),
    gateUp: ['mlp.fc1'],
    down: 'mlp.fc2',
  },
  biases: () => allBiases,
} as const satisfies Partial<EncoderArchitecture>;

const clipStandIns = {
  attention: { layer_norm1: 'nn.Identity', self_attn: 'NoAttention' },
  feedforward: { layer_norm2: 'nn.Identity', mlp: 'NoFeedforward' },
} as const;

/** Image tower of CLIP-like models (arXiv 2103.00020); the text tower remains unchanged. */
function clipVision(
  { modelType, family }: Named,
  form: Pick<EncoderArchitecture, 'finalNorm' | 'unread'> & {
    readonly defaults: ConfigFields;
    readonly embedding: Partial<Extract<EncoderArchitecture['embedding'], { kind: 'image' }>>;
  },
): EncoderArchitecture {
  const { defaults, embedding, ...rest } = form;
  return {
    ...rest,
    modelType,
    classes: { config: `${family}Config`, model: `${family}Model` },
    config: {
      nested: 'vision_config',
      names: epsilonName,
      defaults: () => ({
        hidden_size: 768,
        intermediate_size: 3072,
        num_hidden_layers: 12,
        num_attention_heads: 12,
        ...defaults,
      }),
    },
    prefix: 'vision_model.',
    embedding: {
      kind: 'image',
      patches: 'embeddings.patch_embedding',
      tokens: [],
      positions: 'embeddings.position_embedding.weight',
      isFlat: true,
      ...embedding,
    },
    ...clipBlocks,
    heads: [classifies(family, { reads: 'mean' })],
    modules: { prefix: '', layers: 'vision_model.encoder.layers', ...clipStandIns },
  };
}

/**
 * Outputs of CLIP's text model in transformers. The projection maps to the space shared with
 * images.
 */
const clipTexts = (family: string, form: Pick<HeadForm, 'largestAt'> = {}): TextForm[] => [
  { ...form, class: `${family}TextModel`, reads: 'end', gives: 'pooler_output', steps: [] },
  {
    ...form,
    class: `${family}TextModelWithProjection`,
    reads: 'end',
    gives: 'text_embeds',
    steps: [{ name: 'text_projection', out: 'stored', optionalBias: true }],
  },
];

type TextForm = Omit<HeadForm, 'auto'>;

/** A tower for texts. */
interface TextTower extends Named {
  readonly forms: readonly TextForm[];
  readonly defaults: ConfigFields;
  readonly causal: boolean;
  readonly aliases?: EncoderArchitecture['aliases'];
}

/** The text model, alone or as part of a checkpoint that also contains the image model. */
function textTowers({
  modelType,
  family,
  forms,
  defaults,
  causal,
  aliases = {},
}: TextTower): readonly EncoderArchitecture[] {
  const alone: EncoderArchitecture = {
    modelType: `${modelType}_text_model`,
    classes: { config: `${family}TextConfig`, model: `${family}TextModel` },
    config: {
      names: epsilonName,
      defaults: () => ({ num_hidden_layers: 12, eos_token_id: 49_407, ...defaults }),
    },
    prefix: 'text_model.',
    embedding: {
      kind: 'text',
      words: 'embeddings.token_embedding',
      positions: 'embeddings.position_embedding',
    },
    ...clipBlocks,
    causal,
    aliases,
    finalNorm: 'final_layer_norm',
    heads: forms.map((form) => ({ auto: 'AutoModelForTextEncoding', ...form })),
    modules: { prefix: 'text_model.', layers: 'encoder.layers', ...clipStandIns },
  };
  return [
    alone,
    {
      ...alone,
      modelType,
      headClasses: forms.map((form) => form.class),
      otherModules: say`transformers creates the text model of a ${modelType} model from its text_config alone, which has no modeling file.`,
      config: { ...alone.config, nested: 'text_config' },
    },
  ];
}

const clipTextDefaults = {
  ...{ vocab_size: 49_408, hidden_size: 512, intermediate_size: 2048, num_attention_heads: 8 },
  ...{ max_position_embeddings: 77, hidden_act: 'quick_gelu', rms_norm_eps: 1e-5 },
} as const;

const clipForm = {
  unread: ['post_layernorm.'],
  defaults: { hidden_act: 'quick_gelu', rms_norm_eps: 1e-5, patch_size: 32 },
  embedding: {
    patchBias: false,
    tokens: ['embeddings.class_embedding'],
    norm: 'pre_layrnorm',
  },
} as const;

/**
 * Towers of models with a text and an image tower: the one that the class in config.json names, by default the image
 * tower.
 */
export const clipTowers: readonly EncoderArchitecture[] = [
  ...textTowers({
    ...{ modelType: 'clip', family: 'CLIP', causal: true, defaults: clipTextDefaults },
    // Configurations with this id are from before it was corrected.
    forms: clipTexts('CLIP', { largestAt: 2 }),
  }),
  // arXiv 2507.22062
  ...textTowers({
    ...{ modelType: 'metaclip_2', family: 'MetaClip2', causal: true, defaults: clipTextDefaults },
    forms: clipTexts('MetaClip2'),
  }),
  // arXiv 2303.15343: texts are filled up to their full length, and their last position is read.
  ...textTowers({
    ...{ modelType: 'siglip', family: 'Siglip', causal: false },
    // In folders of the tower alone, as transformers saves them.
    aliases: { 'text_model.head.': 'head.' },
    defaults: {
      ...{ vocab_size: 32_000, hidden_size: 768, intermediate_size: 3072, num_attention_heads: 12 },
      ...{ max_position_embeddings: 64, hidden_act: 'gelu_pytorch_tanh', rms_norm_eps: 1e-6 },
    },
    forms: [
      {
        ...{ class: 'SiglipTextModel', reads: 'last', gives: 'pooler_output' },
        steps: [{ name: 'text_model.head', out: 'stored' }],
      },
    ],
  }),
  clipVision({ modelType: 'clip', family: 'CLIP' }, clipForm),
  clipVision({ modelType: 'metaclip_2', family: 'MetaClip2' }, clipForm),
  clipVision(
    { modelType: 'siglip', family: 'Siglip' },
    {
      finalNorm: 'post_layernorm',
      unread: ['head.'],
      defaults: { hidden_act: 'gelu_pytorch_tanh', rms_norm_eps: 1e-6 },
      embedding: {},
    },
  ),
];
