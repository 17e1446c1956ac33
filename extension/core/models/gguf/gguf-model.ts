import type { GgufHeader } from '../../checkpoints/gguf';
import type { Checkpoint, LazyTensor } from '../../checkpoints/lazy-tensor';
import type { EncoderArchitecture } from '../encoders/encoder-architecture';
import { encoderInGguf, folderEncoder, knownInGguf } from './encoders/encoder-names';
import type { Architecture } from '../transformer/architecture';
import type { ModelConfig } from '../transformer/model-config';
import { describeGguf } from './gguf-config';
import { readGating, sigmoid, ggufFields, fieldKeys } from './gguf-fields';
import { curveTensors } from './gguf-rows';
import { refuseArchitecture } from './gguf-file';
import type { GgufFile } from './gguf-file';
import type { GgufFamily } from './gguf-traits';
import { readBlockCount, readDeciBlocks, readSameBlocks } from './gguf-blocks';
import type { GgufBlocks } from './gguf-blocks';
import type { GgufKeys } from './gguf-keys';
import { remainingMixerFlags, readMixed } from './mixer-places';
import { ggufBlocks, toGgufArchitecture, partNames, readingGateUp } from './gguf-names';
import { rotaryTables, rotatesAdjacentRows } from './gguf-rotary';
import { remainingWindowFlags } from './gguf-windows';
import { t5Blocks } from './t5-gguf';
import { say } from '../../message';

/** Query heads, and the groups of them that share a key and a value. */
export interface HeadGroups {
  readonly queries: number;
  readonly count: number;
}

/** Tensor of a file with its equivalent in a folder. */
interface NameInFolder {
  readonly name: string;
  /** Constant added to every value. */
  readonly offset: number;
  /**
   * Set if the file stores all queries, then all keys, then all values, and the folder interleaves
   * them by group.
   */
  readonly groups?: HeadGroups;
}

/** GGUF file converted to the contents of a Hugging Face folder. */
export interface GgufModel {
  /** Text of an equivalent config.json, with the header's keys as field names. */
  readonly configText: string;
  /** Names, keys and norms as in the file. */
  readonly architecture: Architecture;
  /** Encoder equivalent of `architecture`. */
  readonly encoder?: EncoderArchitecture;
  readonly checkpoint: Checkpoint;
}

/**
 * Describes a GGUF file of a known family. Reads the header and the table of rotary frequencies, if
 * there is one.
 * @param widths sizes of sublayers that have fewer channels or heads than the header says
 * @throws UserError naming the invalid key or tensor.
 */
export async function openGguf(
  { header, keys, conversion: family }: GgufFile,
  path: string,
  widths: GgufBlocks['widths'] = {},
): Promise<GgufModel> {
  const hasExperts = (keys.numberIfPresent('expert_count') ?? 0) > 0;
  const folderArchitecture = findFolderArchitecture(family, keys) ?? refuseArchitecture(keys, path);
  const known: Architecture = {
    ...withSplit(withJoined(folderArchitecture, family, header), header),
    ...family.adapt?.(keys),
  };
  if (hasExperts && known.experts === undefined) {
    keys.fault(
      keys.name('expert_count'),
      'gguf-experts-unsupported',
      say`MoE models are not supported in ${keys.architecture} files.`,
      say`Use the Hugging Face folder of the model.`,
    );
  }
  const fieldKey = fieldKeys(known, family);
  const config = await describeGguf(keys, header, family, { fieldKey, widths });
  const names = Object.fromEntries(
    Object.entries(fieldKey).map(([field, key]) => [field, keys.name(key)]),
  );
  // Nulls would be replaced by the family's defaults.
  const fields = Object.entries(config).map(([field, value]) => [
    value === null ? field : (names[field] ?? field),
    value,
  ]);
  const turnsPart = rotatesAdjacentRows(family, keys, config.head_dim);
  const fileArchitecture = {
    ...toGgufArchitecture(known, family),
    ...(turnsPart ? { interleavedRotary: true } : {}),
  };
  const encoder = folderEncoder({ ...family, modelType: known.modelType });
  const layout = { ...known.config, names };
  return {
    configText: JSON.stringify({
      ...{ model_type: known.modelType, ...family.matchingFields },
      ...Object.fromEntries(fields),
    }),
    architecture: {
      ...fileArchitecture,
      ...readingGateUp(fileArchitecture),
      config: layout,
    },
    ...(encoder === undefined
      ? {}
      : { encoder: encoderInGguf({ ...encoder, config: layout }, fileArchitecture, header) }),
    checkpoint: toCheckpoint(
      header,
      path,
      family.interleaved === true && !turnsPart ? config.head_dim : undefined,
      known.feedforward.parts?.xielu === undefined ? [] : curveTensors(keys, header),
    ),
  };
}

/**
 * Architecture with queries, keys and values in one tensor, if the file stores them joined and
 * folders don't.
 */
function withJoined(
  known: Architecture,
  { interleaved = false }: GgufFamily,
  { tensors }: GgufHeader,
): Architecture {
  const { attention, mixer } = known;
  return mixer === undefined && !interleaved && tensors.some(({ name }) => name === joinedMatrix)
    ? { ...known, attention: { ...attention, queryKeyValue: { fused: '' } } }
    : known;
}

/**
 * Architecture with separate gate and up, if the file stores them split and folders don't (older
 * files of Jina's v2).
 */
function withSplit(known: Architecture, { tensors }: GgufHeader): Architecture {
  const { feedforward } = known;
  // The parts of a file have names of their own: only how many there are is read of these.
  return 'fused' in feedforward.gateUp && tensors.some(({ name }) => name === splitGate)
    ? { ...known, feedforward: { ...feedforward, gateUp: ['', ''] } }
    : known;
}

const splitGate = `${ggufBlocks}.0.ffn_gate.weight`;
const joinedMatrix = `${ggufBlocks}.0.attn_qkv.weight`;

function findFolderArchitecture(
  { modelType, withExperts = modelType, withSigmoid = withExperts, ...family }: GgufFamily,
  keys: GgufKeys,
): Architecture | undefined {
  const hasExperts = (keys.numberIfPresent('expert_count') ?? 0) > 0;
  const chosen = readGating(keys) === sigmoid ? withSigmoid : withExperts;
  return knownInGguf({ ...family, modelType: hasExperts ? chosen : modelType });
}

/**
 * Flag of each remaining block, true if its attention has a window. Returns undefined if the file
 * needs no flags.
 * @param kept source block of each remaining block
 */
export async function ggufWindows(
  { keys, conversion: { windows } }: GgufFile,
  kept: readonly number[],
): Promise<readonly boolean[] | undefined> {
  return windows === undefined ? undefined : remainingWindowFlags(keys, windows, kept);
}

/**
 * Flag of each remaining block, true if it has an SSM or linear-attention layer. Returns undefined
 * if the file needs no flags.
 * @param kept source block of each remaining block
 */
export async function ggufMixers(
  { keys, conversion }: GgufFile,
  kept: readonly number[],
): Promise<readonly boolean[] | undefined> {
  const types =
    conversion.mixed === undefined
      ? undefined
      : await readMixed(keys, conversion, await readSameBlocks(keys));
  return types && remainingMixerFlags(keys, types, kept);
}

/**
 * Sizes of the blocks of a file of a known family.
 * @throws UserError naming the key at fault.
 */
export async function ggufSizes({ keys, conversion }: GgufFile): Promise<GgufBlocks> {
  const { mayLackSublayers = false, sizesDiffer = false, towers } = conversion;
  return mayLackSublayers
    ? readDeciBlocks(keys, readBlockCount(keys))
    : towers !== undefined
      ? sameInBoth(await readSameBlocks(keys), t5Blocks(keys))
      : readSameBlocks(keys, sizesDiffer);
}

/** Sizes of an encoder, which its decoder has too. */
function sameInBoth(
  sizes: GgufBlocks,
  { encoder, decoder }: ReturnType<typeof t5Blocks>,
): GgufBlocks {
  const each = (size: number): number[] => Array.from({ length: encoder + decoder }, () => size);
  return {
    ...sizes,
    blockKeyValueHeads: each(sizes.keyValueHeads),
    blockInnerSizes: each(sizes.innerSize),
  };
}

/**
 * Name of each tensor in the model's Hugging Face folder. Empty for T5. Norms that
 * scale by 1 + weight store the sum in GGUF. Linear layers that folders store transposed are left
 * out.
 */
export function namesInFolder(
  { header, keys, conversion }: GgufFile,
  config?: ModelConfig,
): ReadonlyMap<string, NameInFolder> {
  const plain = knownInGguf(conversion);
  if (plain === undefined || conversion.towers !== undefined) {
    return new Map();
  }
  const known = { ...plain, ...(config === undefined ? {} : plain.form?.(config)) };
  const parts = partNames(known, toGgufArchitecture(known, conversion));
  const { embeddingAndHead } = known;
  const [prefix = ''] = embeddingAndHead.prefixes;
  const normOffset = (part: string, kind: string): number =>
    known.norm.endsWith('-offset') && part.endsWith('norm') && kind === 'weight' ? 1 : 0;
  const groups = readHeadGroups(known, keys);
  return new Map(
    header.tensors.flatMap(({ name, shape }): [string, NameInFolder][] => {
      const [, block, part = '', kind = ''] = /^(?:blk\.(\d+)\.)?([\w.]+)\.(\w+)$/.exec(name) ?? [];
      const folderName = parts.get(part);
      const isTurned = known.transposed === true && block !== undefined && shape.length === 2;
      if (folderName === undefined || isTurned) {
        return [];
      }
      const place = block === undefined ? '' : `${prefix}${embeddingAndHead.blocks}.${block}.`;
      const own = { name: `${place}${folderName}.${kind}`, offset: normOffset(part, kind) };
      return [[name, part === 'attn_qkv' && groups !== undefined ? { ...own, groups } : own]];
    }),
  );
}

/** Numbers of heads, if the folder interleaves queries, keys and values by group. */
function readHeadGroups({ attention }: Architecture, keys: GgufKeys): HeadGroups | undefined {
  const { queryKeyValue } = attention;
  if (!('fused' in queryKeyValue) || queryKeyValue.order !== 'by-group') {
    return undefined;
  }
  const queries = keys.numberIfPresent(ggufFields.num_attention_heads);
  const count = keys.numberIfPresent(ggufFields.num_key_value_heads) ?? queries;
  return queries === undefined || count === undefined ? undefined : { queries, count };
}

/** @param interleavedDim head dimension if query and key rows must be reordered */
function toCheckpoint(
  header: GgufHeader,
  path: string,
  interleavedDim: number | undefined,
  inHeader: Iterable<[string, LazyTensor]>,
): Checkpoint {
  const tensors = header.tensors
    .filter(({ name }) => !rotaryTables.includes(name))
    .map((tensor): [string, LazyTensor] => {
      const heads =
        interleavedDim === undefined || !/^blk\.\d+\.attn_[qk]\.(?:weight|bias)$/.test(tensor.name)
          ? undefined
          : (tensor.shape[0] ?? 0) / interleavedDim;
      return [tensor.name, heads === undefined ? tensor : { ...tensor, interleavedHeads: heads }];
    });
  return {
    tensors: new Map([...tensors, ...inHeader]),
    files: header.files,
    entry: path,
    metadata: {},
  };
}
