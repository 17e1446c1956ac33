import { closeSync, mkdirSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';

/** Sizes of a random model whose weights are not stored as float32. */
export interface StoredModelShape {
  readonly encoding: 'float16' | 'gptq';
  readonly blocks: number;
  readonly hidden: number;
  readonly inner: number;
  readonly vocabulary: number;
}

interface StoredTensor {
  readonly dtype: 'F16' | 'I32';
  readonly shape: readonly number[];
  /** Bits that are random, and bits that are set, of each pair of bytes. */
  readonly random: number;
  readonly set: number;
}

const headSize = 64;
const groupSize = 128;
/** 1 in float16. */
const one = 0x3c_00;
/** Random sign and fraction, and an exponent that gives 0.008 to 0.016. */
const small = { random: 0x83_ff, set: 0x20_00 };

/** Writes a llama folder of random weights, tensor by tensor. */
export function makeStoredModel(folder: string, shape: StoredModelShape): void {
  const { encoding, blocks, hidden, inner, vocabulary } = shape;
  const tensors = new Map<string, StoredTensor>();
  const add = (name: string, size: readonly number[], bits = small): void => {
    tensors.set(name, { dtype: 'F16', shape: size, ...bits });
  };
  const addLinear = (name: string, out: number, columns: number): void => {
    if (encoding === 'float16') {
      add(`${name}.weight`, [out, columns]);
      return;
    }
    const codes = { dtype: 'I32', random: 0xff_ff, set: 0 } as const;
    const groups = columns / groupSize;
    tensors.set(`${name}.qweight`, { ...codes, shape: [columns / 8, out] });
    tensors.set(`${name}.qzeros`, { ...codes, shape: [groups, out / 8], random: 0, set: 0x77_77 });
    add(`${name}.scales`, [groups, out], { random: 0x00_ff, set: 0x18_00 });
  };
  add('model.embed_tokens.weight', [vocabulary, hidden]);
  for (let block = 0; block < blocks; block++) {
    const prefix = `model.layers.${block}`;
    for (const norm of ['input_layernorm', 'post_attention_layernorm']) {
      add(`${prefix}.${norm}.weight`, [hidden], { random: 0, set: one });
    }
    for (const projection of ['q', 'k', 'v', 'o']) {
      addLinear(`${prefix}.self_attn.${projection}_proj`, hidden, hidden);
    }
    addLinear(`${prefix}.mlp.gate_proj`, inner, hidden);
    addLinear(`${prefix}.mlp.up_proj`, inner, hidden);
    addLinear(`${prefix}.mlp.down_proj`, hidden, inner);
  }
  add('model.norm.weight', [hidden], { random: 0, set: one });
  add('lm_head.weight', [vocabulary, hidden]);
  mkdirSync(folder, { recursive: true });
  writeTensors(join(folder, 'model.safetensors'), tensors);
  const config = {
    model_type: 'llama',
    vocab_size: vocabulary,
    hidden_size: hidden,
    intermediate_size: inner,
    num_hidden_layers: blocks,
    num_attention_heads: hidden / headSize,
    num_key_value_heads: hidden / headSize,
    max_position_embeddings: 512,
    rms_norm_eps: 1e-6,
    rope_theta: 10_000,
    tie_word_embeddings: false,
    ...(encoding === 'gptq'
      ? {
          quantization_config: {
            ...{ quant_method: 'gptq', bits: 4, group_size: groupSize, desc_act: false },
          },
        }
      : {}),
  };
  writeFileSync(join(folder, 'config.json'), JSON.stringify(config, undefined, 2));
}

function writeTensors(path: string, tensors: ReadonlyMap<string, StoredTensor>): void {
  const toBytes = ({ dtype, shape }: StoredTensor): number =>
    shape.reduce((product, size) => product * size, dtype === 'F16' ? 2 : 4);
  const header: Record<string, unknown> = { __metadata__: { format: 'pt' } };
  let offset = 0;
  for (const [name, tensor] of tensors) {
    const { dtype, shape } = tensor;
    const end = offset + toBytes(tensor);
    header[name] = { dtype, shape, data_offsets: [offset, end] };
    offset = end;
  }
  const json = Buffer.from(JSON.stringify(header));
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(json.length));
  const file = openSync(path, 'w');
  writeSync(file, Buffer.concat([size, json]));
  let state = 1;
  for (const tensor of tensors.values()) {
    const { random, set } = tensor;
    const pairs = new Uint16Array(toBytes(tensor) / 2);
    for (let i = 0; i < pairs.length; i++) {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      pairs[i] = ((state >>> 16) & random) | set;
    }
    writeSync(file, new Uint8Array(pairs.buffer));
  }
  closeSync(file);
}
