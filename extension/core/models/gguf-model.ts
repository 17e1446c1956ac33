import { readGgufHeader } from '../checkpoints/gguf';
import type { GgufHeader } from '../checkpoints/gguf';
import { readFloats } from '../checkpoints/read-tensor';
import type { Checkpoint, LazyTensor } from '../checkpoints/lazy-tensor';
import { UserError } from '../user-error';

/** A GGUF file as what a Hugging Face folder would hold. */
export interface GgufModel {
  /** Text of the config.json that the header amounts to. */
  readonly configText: string;
  /** Tensors under the names of the architecture table. */
  readonly checkpoint: Checkpoint;
}

/** How the conversion to GGUF treats a family. */
interface GgufFamily {
  /** Query and key rows are interleaved for llama.cpp's form of the rotary embedding. */
  readonly interleaved: boolean;
}

/** Families by `general.architecture`, which equals `model_type`. */
const families: Readonly<Record<string, GgufFamily>> = {
  llama: { interleaved: true },
  qwen2: { interleaved: false },
  qwen3: { interleaved: false },
};

/** Names of the architecture table for those of llama.cpp (gguf-py/gguf/tensor_mapping.py). */
const outerNames: Readonly<Record<string, string>> = {
  token_embd: 'model.embed_tokens',
  output_norm: 'model.norm',
  output: 'lm_head',
};
const blockNames: Readonly<Record<string, string>> = {
  attn_norm: 'input_layernorm',
  attn_q: 'self_attn.q_proj',
  attn_k: 'self_attn.k_proj',
  attn_v: 'self_attn.v_proj',
  attn_output: 'self_attn.o_proj',
  attn_q_norm: 'self_attn.q_norm',
  attn_k_norm: 'self_attn.k_norm',
  ffn_norm: 'post_attention_layernorm',
  ffn_gate: 'mlp.gate_proj',
  ffn_up: 'mlp.up_proj',
  ffn_down: 'mlp.down_proj',
};
/** Divisors of the rotary frequencies, one per pair of dimensions. */
const frequencyFactors = 'rope_freqs.weight';
const maxFrequencies = 1 << 15;

/**
 * Opens a GGUF file of a known family. Only the header is read, and the table of rotary frequencies
 * where there is one.
 * @throws UserError naming the key or tensor at fault.
 */
export async function openGguf(path: string): Promise<GgufModel> {
  const header = await readGgufHeader(path);
  const keys = new Keys(header, path);
  const modelType = keys.text('general.architecture');
  const family = Object.hasOwn(families, modelType) ? families[modelType] : undefined;
  if (family === undefined) {
    throw new UserError(`Architecture "${modelType}" is not known in GGUF files.`, {
      file: path,
      field: 'general.architecture',
      remedy: `Known are ${Object.keys(families).join(', ')}.`,
    });
  }
  if ((keys.numberIfPresent('split.count') ?? 1) > 1) {
    throw new UserError('The file is one part of several.', {
      file: path,
      field: 'split.count',
      remedy: 'Join the parts with `llama-gguf-split --merge`.',
    });
  }
  if ((keys.numberIfPresent(`${modelType}.expert_count`) ?? 0) > 0) {
    throw new UserError('Mixtures of experts are not known in GGUF files.', {
      file: path,
      field: `${modelType}.expert_count`,
    });
  }
  const config = await describe(modelType, keys, header);
  return {
    configText: JSON.stringify(config),
    checkpoint: renamed(header, path, family, config),
  };
}

type Config = Awaited<ReturnType<typeof describe>>;

async function describe(modelType: string, keys: Keys, header: GgufHeader) {
  const number = (key: string): number => keys.number(`${modelType}.${key}`);
  const optional = (key: string): number | undefined => keys.numberIfPresent(`${modelType}.${key}`);
  const tensors = new Map(header.tensors.map((tensor) => [tensor.name, tensor]));
  const hiddenSize = number('embedding_length');
  const heads = number('attention.head_count');
  const headDim = optional('attention.key_length') ?? hiddenSize / heads;
  const valueDim = optional('attention.value_length') ?? headDim;
  if (valueDim !== headDim) {
    throw new UserError(`Values of ${valueDim} beside keys of ${headDim} are not known.`, {
      file: header.file,
      field: `${modelType}.attention.value_length`,
    });
  }
  return {
    model_type: modelType,
    vocab_size: tensors.get('token_embd.weight')?.shape[0] ?? optional('vocab_size'),
    hidden_size: hiddenSize,
    num_hidden_layers: number('block_count'),
    num_attention_heads: heads,
    num_key_value_heads: optional('attention.head_count_kv') ?? heads,
    head_dim: headDim,
    intermediate_size: number('feed_forward_length'),
    max_position_embeddings: number('context_length'),
    rms_norm_eps: number('attention.layer_norm_rms_epsilon'),
    tie_word_embeddings: !tensors.has('output.weight'),
    attention_bias: modelType !== 'qwen2' && tensors.has('blk.0.attn_q.bias'),
    mlp_bias: tensors.has('blk.0.ffn_up.bias'),
    rope_parameters: {
      rope_theta: optional('rope.freq_base') ?? 10_000,
      partial_rotary_factor: (optional('rope.dimension_count') ?? headDim) / headDim,
      ...(await describeScaling(modelType, keys, tensors.get(frequencyFactors))),
    },
  };
}

async function describeScaling(
  modelType: string,
  keys: Keys,
  factors: LazyTensor | undefined,
): Promise<Record<string, unknown>> {
  if (factors !== undefined) {
    // Made by the conversion from scalings such as llama3; one set for all lengths.
    const table = await readFloats(factors, maxFrequencies);
    return {
      rope_type: 'longrope',
      short_factor: table,
      long_factor: table,
      attention_factor: 1,
    };
  }
  const type = keys.textIfPresent(`${modelType}.rope.scaling.type`) ?? 'none';
  const factor =
    keys.numberIfPresent(`${modelType}.rope.scaling.factor`) ??
    keys.numberIfPresent(`${modelType}.rope.scale_linear`);
  if (type === 'none') {
    return factor === undefined || factor === 1 ? {} : { rope_type: 'linear', factor };
  }
  return { rope_type: type, ...(factor === undefined ? {} : { factor }) };
}

function renamed(header: GgufHeader, path: string, family: GgufFamily, config: Config): Checkpoint {
  const interleaved: Readonly<Record<string, number>> = family.interleaved
    ? { attn_q: config.num_attention_heads, attn_k: config.num_key_value_heads }
    : {};
  const tensors = new Map<string, LazyTensor>();
  for (const tensor of header.tensors) {
    if (tensor.name === frequencyFactors) {
      continue;
    }
    const [, block, part = '', suffix = ''] =
      /^(?:blk\.(\d+)\.)?(\w+)\.(weight|bias)$/.exec(tensor.name) ?? [];
    const known = block === undefined ? outerNames[part] : blockNames[part];
    const name =
      known === undefined
        ? tensor.name
        : `${block === undefined ? '' : `model.layers.${block}.`}${known}.${suffix}`;
    const heads = block === undefined ? undefined : interleaved[part];
    tensors.set(name, {
      ...tensor,
      name,
      ...(heads === undefined ? {} : { interleavedHeads: heads }),
    });
  }
  return { tensors, files: [header.file], entry: path, metadata: {} };
}

/** Typed access to the keys of a header. */
class Keys {
  public constructor(
    private readonly header: GgufHeader,
    private readonly path: string,
  ) {}

  public number(key: string): number {
    return this.numberIfPresent(key) ?? this.missing(key);
  }

  public text(key: string): string {
    return this.textIfPresent(key) ?? this.missing(key);
  }

  public numberIfPresent(key: string): number | undefined {
    const value = this.header.metadata.get(key);
    return value === undefined || typeof value === 'number' ? value : this.unfit(key, 'number');
  }

  public textIfPresent(key: string): string | undefined {
    const value = this.header.metadata.get(key);
    return value === undefined || typeof value === 'string' ? value : this.unfit(key, 'text');
  }

  private missing(key: string): never {
    throw new UserError('The header lacks this key.', {
      file: this.path,
      field: key,
      remedy: 'Convert the model again with a recent llama.cpp.',
    });
  }

  private unfit(key: string, expected: string): never {
    throw new UserError(`Its value is not a ${expected}, the only form known here.`, {
      file: this.path,
      field: key,
    });
  }
}
