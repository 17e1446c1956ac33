import { elementCount } from '../../checkpoints/lazy-tensor';
import { parseGgmlBlock } from '../../checkpoints/ggml-types';
import { fitsRows, fittingType } from '../../checkpoints/quantize/quantizers';
import type { WritableType } from '../../checkpoints/ggml-types';

/** The mixes of types that llama.cpp's quantizer offers: the type of most tensors, and `general.file_type`. */
export const typeMixes = {
  F32: { base: 'F32', fileType: 0 },
  F16: { base: 'F16', fileType: 1 },
  BF16: { base: 'BF16', fileType: 32 },
  Q8_0: { base: 'Q8_0', fileType: 7 },
  Q6_K: { base: 'Q6_K', fileType: 18 },
  Q5_K_M: { base: 'Q5_K', fileType: 17 },
  Q5_K_S: { base: 'Q5_K', fileType: 16 },
  Q5_1: { base: 'Q5_1', fileType: 9 },
  Q5_0: { base: 'Q5_0', fileType: 8 },
  Q4_K_M: { base: 'Q4_K', fileType: 15 },
  Q4_K_S: { base: 'Q4_K', fileType: 14 },
  Q4_1: { base: 'Q4_1', fileType: 3 },
  Q4_0: { base: 'Q4_0', fileType: 2 },
  IQ4_NL: { base: 'IQ4_NL', fileType: 25 },
  IQ4_XS: { base: 'IQ4_XS', fileType: 30 },
  Q3_K_L: { base: 'Q3_K', fileType: 13 },
  Q3_K_M: { base: 'Q3_K', fileType: 12 },
  Q3_K_S: { base: 'Q3_K', fileType: 11 },
  Q2_K: { base: 'Q2_K', fileType: 10 },
  Q2_K_S: { base: 'Q2_K', fileType: 21 },
} as const satisfies Readonly<Record<string, { base: WritableType; fileType: number }>>;
export type TypeMix = keyof typeof typeMixes;
export const typeMixNames = Object.keys(typeMixes) as TypeMix[];

/** Facts on which a mix depends besides the names of the tensors. */
export interface MixedModel {
  readonly blocks: number;
  readonly heads: number;
  readonly keyValueHeads: number;
  /** Number of experts per block; 0 if there are none. */
  readonly experts: number;
  /** `general.architecture` */
  readonly architecture?: string;
  /** True if an importance matrix is given. */
  readonly hasImportance: boolean;
}

/** A tensor under its name in a GGUF file. */
export interface NamedShape {
  readonly name: string;
  readonly shape: readonly number[];
}

/**
 * Tensors that stay float: norms, routers, convolutions (llama.cpp reads their kernels as floats), position and segment
 * embeddings, relative position biases, the projection of per-layer embeddings, and stream mixing.
 */
const staysFloat =
  /(?:_norm|ffn_gate_inp|ffn_gate_tid2eid|position_embd|token_types|ssm_conv1d(?:_[qkv])?|shortconv\.conv|attn_rel_b|per_layer_model_proj|altup_\w+|laurel_\w+)\.weight$/;

/**
 * True for weight matrices, which can have any type; other tensors stay float32
 * (`tensor_allows_quantization`).
 */
export function takesTypes({ name, shape }: NamedShape): boolean {
  return shape.length >= 2 && name.endsWith('weight') && !staysFloat.test(name);
}

/**
 * The type that a mix gives each tensor it may choose for, as llama.cpp's quantizer does
 * (`llama_tensor_get_type`, src/llama-quant.cpp).
 */
export function mixedTypes(
  mix: TypeMix,
  tensors: readonly NamedShape[],
  model: MixedModel,
): Map<string, WritableType> {
  const chosen = tensors.filter(takesTypes);
  const { base } = typeMixes[mix];
  const isTied = !tensors.some(({ name }) => name === 'output.weight');
  const quantizes = parseGgmlBlock(base).elements > 1;
  const towerPlaces = placesInTowers(tensors);
  return new Map(
    chosen.map(({ name, shape }) => {
      const rowLength = shape.at(-1) ?? 1;
      const place = towerPlaces.get(name);
      // llama.cpp counts the blocks of T5's encoder alone, but values in both towers.
      const blocks = place?.part === 'attn_v' ? place.count : model.blocks;
      const own =
        place === undefined ? { name } : { name: `blk.${place.number}.${place.part}.weight` };
      const wanted = quantizes
        ? wantedType(mix, own.name, rowLength, isTied, { ...model, blocks })
        : base;
      return [name, fittingType(wanted, rowLength)];
    }),
  );
}

/** A matrix of T5: which of its kind it is, in both towers. */
interface PlaceInTowers {
  readonly part: string;
  readonly number: number;
  /** Number of tensors of this kind. */
  readonly count: number;
}

/** llama.cpp numbers matrices of two towers on, in the order of their names as texts. */
function placesInTowers(tensors: readonly NamedShape[]): ReadonlyMap<string, PlaceInTowers> {
  const found = tensors
    .flatMap(({ name }) => {
      const [, part] = /^(?:enc|dec)\.blk\.\d+\.(?:cross_)?(\w+)\.weight$/.exec(name) ?? [];
      return part === undefined ? [] : [{ name, part }];
    })
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  return new Map(
    found.map(({ name, part }) => {
      const same = found.filter((one) => one.part === part);
      const number = same.findIndex((one) => one.name === name);
      return [name, { part, number, count: same.length }];
    }),
  );
}

function wantedType(
  mix: TypeMix,
  name: string,
  rowLength: number,
  isTied: boolean,
  model: MixedModel,
): WritableType {
  const { base } = typeMixes[mix];
  if (name === 'output.weight' || (isTied && name === 'token_embd.weight')) {
    const isPlain = base === 'Q8_0' || isFalcon(model) || !fitsRows(base, rowLength);
    return isPlain ? 'Q8_0' : 'Q6_K';
  }
  const [, block = '0', part = ''] =
    /^blk\.(\d+)\.(\w+?)(?:_exps|_shexp)?\.weight$/.exec(name) ?? [];
  const eightExpertType = model.experts === eightExperts ? eightExpertTypes(mix)[part] : undefined;
  const own = isFalcon(model) ? falconTypes[part] : undefined;
  return eightExpertType ?? (own ?? partTypes[part])?.(mix, Number(block), model) ?? base;
}

/**
 * Models with this many experts keep attention in larger types, because attention is a small part
 * of the file.
 */
const eightExperts = 8;

function eightExpertTypes(mix: TypeMix): Partial<Record<string, WritableType>> {
  const givesMore: readonly TypeMix[] = [
    'Q2_K',
    'Q3_K_S',
    'Q3_K_M',
    'IQ4_NL',
    'Q4_K_S',
    'Q4_K_M',
    'IQ4_XS',
  ];
  const { base } = typeMixes[mix];
  return {
    attn_v: 'Q8_0',
    attn_k: 'Q8_0',
    attn_output: givesMore.includes(mix) ? 'Q5_K' : base,
  };
}

type PartType = (mix: TypeMix, block: number, model: MixedModel) => WritableType | undefined;

const partTypes: Readonly<Record<string, PartType>> = {
  attn_v: (mix, block, model) => {
    const type = valueType(mix, block, model);
    const { blocks, heads, keyValueHeads } = model;
    // 70B models share each value between eight heads: more bits cost little there.
    const isLarge = blocks === 80 && heads !== keyValueHeads;
    const given = type ?? typeMixes[mix].base;
    return isLarge && (given === 'Q3_K' || given === 'Q4_K') ? 'Q5_K' : type;
  },
  ffn_down: (mix, block, { blocks, hasImportance }) => {
    const eighth = block < Math.trunc(blocks / 8);
    switch (mix) {
      case 'Q2_K':
        return 'Q3_K';
      case 'Q2_K_S':
        return eighth ? 'Q4_K' : undefined;
      case 'Q3_K_M':
        return block < Math.trunc(blocks / 16) ? 'Q5_K' : 'Q4_K';
      case 'Q3_K_L':
        return 'Q5_K';
      case 'Q4_K_M':
      case 'Q5_K_M':
        return needsMoreBits(block, blocks) ? 'Q6_K' : undefined;
      case 'IQ4_NL':
      case 'IQ4_XS':
        return eighth && !hasImportance ? 'Q5_K' : undefined;
      case 'Q4_K_S':
        return eighth ? 'Q5_K' : undefined;
      case 'Q4_0':
      case 'Q5_0':
        return eighth && hasImportance ? (mix === 'Q4_0' ? 'Q4_1' : 'Q5_1') : undefined;
      default:
        return undefined;
    }
  },
  attn_output: (mix) =>
    ({ Q2_K: 'Q3_K', Q3_K_M: 'Q4_K', Q3_K_L: 'Q5_K' } as Partial<Record<TypeMix, WritableType>>)[
      mix
    ],
  attn_qkv: (mix) =>
    (
      { Q3_K_M: 'Q4_K', Q3_K_L: 'Q4_K', Q4_K_M: 'Q5_K', Q5_K_M: 'Q6_K' } as Partial<
        Record<TypeMix, WritableType>
      >
    )[mix],
};

const isFalcon = ({ architecture }: MixedModel): boolean => architecture === 'falcon';

/** Types that differ for Falcon only. */
const falconTypes: Readonly<Record<string, PartType>> = {
  ffn_down: (mix, block, model) => {
    const isFirst = block < Math.trunc(model.blocks / 16);
    const isBetter = needsMoreBits(block, model.blocks);
    switch (mix) {
      case 'Q3_K_M':
        return isFirst ? 'Q5_K' : isBetter ? 'Q4_K' : undefined;
      case 'Q3_K_L':
        return 'Q4_K';
      case 'Q4_K_M':
        return isFirst ? 'Q6_K' : isBetter ? 'Q5_K' : undefined;
      case 'Q4_K_S':
        return undefined;
      default:
        return partTypes['ffn_down']?.(mix, block, model);
    }
  },
  attn_output: (mix) => (mix === 'Q3_K_L' ? 'Q4_K' : undefined),
};

function valueType(
  mix: TypeMix,
  block: number,
  { blocks, heads, keyValueHeads }: MixedModel,
): WritableType | undefined {
  const isShared = heads / keyValueHeads >= 4;
  switch (mix) {
    case 'Q2_K':
      return isShared ? 'Q4_K' : 'Q3_K';
    case 'Q2_K_S':
      return isShared ? 'Q4_K' : undefined;
    case 'Q3_K_M':
      return block < 2 ? 'Q5_K' : 'Q4_K';
    case 'Q3_K_L':
      return 'Q5_K';
    case 'IQ4_NL':
    case 'IQ4_XS':
      return isShared ? 'Q5_K' : undefined;
    case 'Q4_K_M':
    case 'Q5_K_M':
      return needsMoreBits(block, blocks) ? 'Q6_K' : undefined;
    case 'Q4_K_S':
      return block < 4 ? 'Q5_K' : undefined;
    default:
      return undefined;
  }
}

/** The first and last eighth of the blocks, and every third between them. */
function needsMoreBits(block: number, blocks: number): boolean {
  const eighth = Math.trunc(blocks / 8);
  return block < eighth || block >= Math.trunc((7 * blocks) / 8) || (block - eighth) % 3 === 2;
}

/** Bytes of a tensor as a type. */
export function bytesAs(type: string, shape: readonly number[]): number {
  const { elements, bytes } = parseGgmlBlock(type);
  return (elementCount(shape) / elements) * bytes;
}
