import type { GgufHeader } from '../../checkpoints/gguf';
import { readGgufModel } from '../../checkpoints/gguf-parts';
import type { Checkpoint, LazyTensor } from '../../checkpoints/lazy-tensor';
import { UserError } from '../../user-error';
import type { Architecture, Projection } from '../transformer/architecture';
import { knownArchitecture } from '../transformer/architectures';
import { describeGguf, frequencyFactors, ggufFields, requireSameTurns } from './gguf-config';
import type { GgufConfig, GgufTraits } from './gguf-config';
import { GgufKeys } from './gguf-keys';
import { say } from '../../message';

/** A GGUF file as what a Hugging Face folder would hold. */
interface GgufModel {
  readonly header: GgufHeader;
  /** Text of the config.json that the header amounts to, under the keys of the header. */
  readonly configText: string;
  /** Names, keys and norms as the file has them. */
  readonly architecture: Architecture;
  readonly checkpoint: Checkpoint;
}

/** How the conversion to GGUF treats a family. */
export interface GgufFamily extends GgufTraits {
  readonly modelType: string;
  /** Other families of folders that become this one. */
  readonly alsoFrom?: readonly string[];
  /** Query and key rows are interleaved for llama.cpp's form of the rotary embedding. */
  readonly interleaved?: boolean;
}

/** Families by `general.architecture`. */
export const ggufFamilies: Readonly<Record<string, GgufFamily>> = {
  llama: { modelType: 'llama', alsoFrom: ['mistral'], interleaved: true },
  deci: { modelType: 'llama', interleaved: true, mayLackSublayers: true },
  qwen2: { modelType: 'qwen2' },
  qwen3: { modelType: 'qwen3' },
  gemma: { modelType: 'gemma' },
  gemma2: {
    modelType: 'gemma2',
    windows: { period: 2, size: 4096, ownRotary: false, scaledByWidthAt: 46 },
  },
  gemma3: {
    modelType: 'gemma3_text',
    windows: { period: 6, ownRotary: true, scaledByWidthAt: 62 },
  },
};

/** Blocks are named `blk.<number>.` */
const ggufBlocks = 'blk';

/**
 * Opens a GGUF file of a known family. Only the header is read, and the table of rotary frequencies
 * where there is one.
 * @throws UserError naming the key or tensor at fault.
 */
export async function openGguf(path: string): Promise<GgufModel> {
  const header = await readGgufModel(path);
  const keys = new GgufKeys(header, path);
  const family = Object.hasOwn(ggufFamilies, keys.architecture)
    ? ggufFamilies[keys.architecture]
    : undefined;
  const known = family === undefined ? undefined : knownArchitecture(family.modelType);
  if (family === undefined || known === undefined) {
    throw new UserError(say`Architecture "${keys.architecture}" is not supported in GGUF files.`, {
      file: path,
      field: 'general.architecture',
      remedy: say`Supported: ${Object.keys(ggufFamilies).join(', ')}.`,
    });
  }
  if ((keys.numberIfPresent('expert_count') ?? 0) > 0) {
    keys.fault(
      keys.name('expert_count'),
      say`Mixtures of experts are not supported in GGUF files.`,
    );
  }
  const config = await describeGguf(keys, header, family);
  const names = Object.fromEntries(
    Object.entries(ggufFields).map(([field, key]) => [field, keys.name(key)]),
  );
  const fields = Object.entries(config).map(([field, value]) => [names[field] ?? field, value]);
  return {
    header,
    configText: JSON.stringify({ model_type: family.modelType, ...Object.fromEntries(fields) }),
    architecture: inGguf(known, names),
    checkpoint: checkpointOf(header, path, family, config),
  };
}

/**
 * Refuses a choice of blocks that llama.cpp would compute otherwise than the model does.
 * @param kept source block of each block that stays
 * @throws UserError with what may be removed.
 */
export async function requireGgufBlocks(
  header: GgufHeader,
  kept: readonly number[],
): Promise<void> {
  const keys = new GgufKeys(header, header.file);
  const { windows } = ggufFamilies[keys.architecture] ?? {};
  if (windows !== undefined) {
    await requireSameTurns(keys, windows, kept);
  }
}

/**
 * A family under the names of llama.cpp (gguf-py/gguf/tensor_mapping.py). The conversion has added
 * the offset to norms that have one.
 */
function inGguf(known: Architecture, names: Readonly<Record<string, string>>): Architecture {
  const { attention, feedforward } = known;
  return {
    ...known,
    config: { ...known.config, names },
    norm: known.norm === 'rms-offset' ? 'rms' : known.norm,
    outer: {
      prefixes: [''],
      embedding: 'token_embd',
      finalNorm: 'output_norm',
      heads: ['output'],
      blocks: ggufBlocks,
    },
    attention: {
      norm: 'attn_norm',
      queryKeyValue: { kind: 'separate', names: ['attn_q', 'attn_k', 'attn_v'] },
      output: 'attn_output',
      ...(attention.queryKeyNorms === undefined
        ? {}
        : { queryKeyNorms: { query: 'attn_q_norm', key: 'attn_k_norm', over: 'head' } }),
      ...(attention.postNorm === undefined ? {} : { postNorm: 'post_attention_norm' }),
    },
    feedforward: {
      norm: 'ffn_norm',
      gateUp: { kind: 'separate', names: ['ffn_gate', 'ffn_up'] },
      down: 'ffn_down',
      ...(feedforward.postNorm === undefined ? {} : { postNorm: 'post_ffw_norm' }),
    },
  };
}

/**
 * What each tensor of a GGUF file is called in the Hugging Face folder of the model; empty for a
 * family that is not known. Norms that scale by 1 + weight hold the sum here.
 */
export function namesInFolder(
  header: GgufHeader,
): ReadonlyMap<string, { readonly name: string; readonly offset: number }> {
  const key = header.metadata.get('general.architecture');
  const family =
    typeof key === 'string' && Object.hasOwn(ggufFamilies, key) ? ggufFamilies[key] : undefined;
  const known = family === undefined ? undefined : knownArchitecture(family.modelType);
  if (known === undefined) {
    return new Map();
  }
  const parts = partNames(known, inGguf(known, {}));
  const { outer } = known;
  const [prefix = ''] = outer.prefixes;
  const offsetOf = (part: string): number =>
    known.norm === 'rms-offset' && part.endsWith('norm') ? 1 : 0;
  return new Map(
    header.tensors.flatMap(({ name }): [string, { name: string; offset: number }][] => {
      const [, block, part = '', kind = ''] = /^(?:blk\.(\d+)\.)?(\w+)\.(\w+)$/.exec(name) ?? [];
      const usual = parts.get(part);
      if (usual === undefined) {
        return [];
      }
      const place = block === undefined ? '' : `${prefix}${outer.blocks}.${block}.`;
      return [[name, { name: `${place}${usual}.${kind}`, offset: offsetOf(part) }]];
    }),
  );
}

/** A family of folders as a GGUF file of it. */
export interface GgufTarget {
  /** `general.architecture` */
  readonly architecture: string;
  readonly family: GgufFamily;
  /** Name of a tensor of the folder, and its part (`attn_q`, `output_norm`); undefined where it has no place. */
  readonly tensor: (name: string) => { readonly name: string; readonly part: string } | undefined;
}

/** What a folder's family becomes; undefined where llama.cpp knows none, or we none of its. */
export function ggufTarget(known: Architecture): GgufTarget | undefined {
  const found = Object.entries(ggufFamilies).find(
    ([, { modelType, alsoFrom = [], mayLackSublayers }]) =>
      mayLackSublayers !== true && [modelType, ...alsoFrom].includes(known.modelType),
  );
  if (found === undefined) {
    return undefined;
  }
  const [architecture, family] = found;
  const { outer } = known;
  const [prefix = ''] = outer.prefixes;
  const parts = new Map(
    [...partNames(known, inGguf(known, {}))].map(([part, usual]) => [usual, part]),
  );
  const inBlock = new RegExp(`^${escaped(`${prefix}${outer.blocks}`)}\\.(\\d+)\\.(.+)$`);
  return {
    architecture,
    family,
    tensor: (name) => {
      const [, block, rest = name] = inBlock.exec(name) ?? [];
      const [, module = '', kind = ''] = /^(.+)\.(weight|bias)$/.exec(rest) ?? [];
      const part = parts.get(module);
      const place = block === undefined ? '' : `${ggufBlocks}.${block}.`;
      return part === undefined ? undefined : { name: `${place}${part}.${kind}`, part };
    },
  };
}

const escaped = (text: string): string => text.replaceAll('.', '\\.');

/** Names below a block, or of the parts outside, by those that the same family has in GGUF files. */
function partNames(known: Architecture, own: Architecture): Map<string, string> {
  const [prefix = ''] = known.outer.prefixes;
  const listed = ({ outer, attention, feedforward }: Architecture, before: string) => [
    `${before}${outer.embedding}`,
    `${before}${outer.finalNorm ?? ''}`,
    outer.heads?.[0] ?? 'lm_head',
    attention.norm,
    ...namesOf(attention.queryKeyValue),
    attention.output,
    attention.queryKeyNorms?.query,
    attention.queryKeyNorms?.key,
    attention.postNorm,
    feedforward.norm,
    ...namesOf(feedforward.gateUp),
    feedforward.down,
    feedforward.postNorm,
  ];
  const usual = listed(known, prefix);
  return new Map(
    listed(own, '').flatMap((name, i): [string, string][] => {
      const other = usual[i];
      return name === undefined || other === undefined ? [] : [[name, other]];
    }),
  );
}

function namesOf(projection: Projection): readonly string[] {
  return projection.kind === 'separate' ? projection.names : [projection.name];
}

function checkpointOf(
  header: GgufHeader,
  path: string,
  family: GgufFamily,
  config: GgufConfig,
): Checkpoint {
  const tensors = header.tensors
    .filter(({ name }) => name !== frequencyFactors)
    .map((tensor): [string, LazyTensor] => {
      const isTurned =
        family.interleaved === true && /^blk\.\d+\.attn_[qk]\.(?:weight|bias)$/.test(tensor.name);
      const interleavedHeads = (tensor.shape[0] ?? 0) / config.head_dim;
      return [tensor.name, isTurned ? { ...tensor, interleavedHeads } : tensor];
    });
  return { tensors: new Map(tensors), files: header.files, entry: path, metadata: {} };
}
