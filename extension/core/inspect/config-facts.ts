import type { ConfigFields } from '../models/transformer/model-config';
import type { ModelFacts } from './model-description';

/** Names of a field of config.json in different families, the most common first. */
const numberNames = {
  hiddenSize: ['hidden_size', 'n_embd', 'd_model', 'dim', 'model_dim', 'n_embed'],
  intermediateSize: ['intermediate_size', 'n_inner', 'ffn_dim', 'd_ff', 'ffn_hidden_size'],
  heads: ['num_attention_heads', 'n_head', 'num_heads', 'n_heads', 'decoder_attention_heads'],
  keyValueHeads: ['num_key_value_heads', 'num_kv_heads', 'n_kv_heads', 'multi_query_group_num'],
  headSize: ['head_dim', 'kv_channels', 'd_kv'],
  vocabularySize: ['vocab_size', 'padded_vocab_size'],
  contextLength: [
    'max_position_embeddings',
    'n_positions',
    'n_ctx',
    'max_sequence_length',
    'seq_length',
    'max_seq_len',
  ],
  slidingWindow: ['sliding_window'],
  experts: ['num_local_experts', 'num_experts', 'n_routed_experts', 'moe_num_experts'],
  expertsPerToken: ['num_experts_per_tok', 'num_experts_per_token', 'moe_top_k'],
  ropeTheta: ['rope_theta', 'rotary_emb_base'],
} as const satisfies Partial<Record<keyof ModelFacts, readonly string[]>>;

const activationNames = ['hidden_act', 'hidden_activation', 'activation_function', 'activation'];

/** Names below `ARCHITECTURE.` in GGUF files, for the fields of config.json. */
const ggufNames: Readonly<Record<string, string>> = {
  embedding_length: 'hidden_size',
  feed_forward_length: 'intermediate_size',
  block_count: 'num_hidden_layers',
  'attention.head_count': 'num_attention_heads',
  'attention.head_count_kv': 'num_key_value_heads',
  'attention.key_length': 'head_dim',
  'attention.sliding_window': 'sliding_window',
  vocab_size: 'vocab_size',
  context_length: 'max_position_embeddings',
  expert_count: 'num_experts',
  expert_used_count: 'num_experts_per_tok',
  'rope.freq_base': 'rope_theta',
};

/** The keys of a GGUF header under the names of config.json. */
export function ggufConfig(keys: ReadonlyMap<string, unknown>, family: string): ConfigFields {
  return Object.fromEntries(
    Object.entries(ggufNames).flatMap(([own, usual]) => {
      const value = keys.get(`${family}.${own}`);
      return typeof value === 'number' ? [[usual, value]] : [];
    }),
  );
}

/** Fact that a field of config.json describes, under any family's name for it. */
export function fieldFact(field: string): keyof ModelFacts | undefined {
  const found = Object.entries(numberNames).find(([, names]) =>
    (names as readonly string[]).includes(field),
  );
  return activationNames.includes(field)
    ? 'activation'
    : (found?.[0] as keyof typeof numberNames | undefined);
}

/** Facts in a config.json, including nested text configurations. */
export function configFacts(config: ConfigFields): ModelFacts {
  const fields = { ...config, ...record(config['text_config']) };
  const numbers = Object.fromEntries(
    Object.entries(numberNames).flatMap(([fact, names]) => {
      const value = names.map((name) => fields[name]).find((one) => typeof one === 'number');
      return value === undefined ? [] : [[fact, value]];
    }),
  ) as Partial<Record<keyof typeof numberNames, number>>;
  const activation = activationNames
    .map((name) => fields[name])
    .find((one) => typeof one === 'string');
  const tied = fields['tie_word_embeddings'];
  const quantization = record(fields['quantization_config'])['quant_method'];
  const rope = record(fields['rope_parameters'])['rope_theta'];
  return {
    ...(typeof rope === 'number' ? { ropeTheta: rope } : {}),
    ...numbers,
    ...heads(numbers, isMultiQuery(fields)),
    ...(typeof tied === 'boolean' ? { tiedHead: tied } : {}),
    ...(activation === undefined ? {} : { activation }),
    ...(typeof quantization === 'string' ? { quantization } : {}),
  };
}

/**
 * Default head counts and head size: one key/value head per query head, heads that together fill
 * the hidden size.
 */
function heads(known: ModelFacts, multiQuery: boolean): ModelFacts {
  const { heads: count, hiddenSize } = known;
  if (count === undefined || count < 1) {
    return {};
  }
  const headSize = known.headSize ?? (hiddenSize ?? Number.NaN) / count;
  return {
    keyValueHeads: multiQuery ? 1 : (known.keyValueHeads ?? count),
    ...(Number.isInteger(headSize) ? { headSize } : {}),
  };
}

/** One head of keys and values for all, as Falcon's and StarCoder's first models say it. */
function isMultiQuery({
  multi_query: one,
  new_decoder_architecture: grouped,
}: ConfigFields): boolean {
  return one === true && grouped !== true;
}

/** Values by the way to them; lists stay as they are written. */
export function flatten(config: ConfigFields): Record<string, string> {
  return Object.fromEntries(
    Object.entries(config).flatMap(([key, value]): [string, string][] => {
      if (value === undefined) {
        return [];
      }
      const inner = Object.entries(flatten(record(value)));
      return inner.length > 0
        ? inner.map(([name, text]) => [`${key}.${name}`, text])
        : [[key, typeof value === 'string' ? value : JSON.stringify(value)]];
    }),
  );
}

/** Fields of a JSON object; none if the value is not an object. */
export function record(value: unknown): ConfigFields {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : {};
}
