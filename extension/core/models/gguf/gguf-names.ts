import type {
  Architecture,
  Biases,
  ExpertNames,
  MixerNames,
  EmbeddingAndHeadNames,
  SharedExpertNames,
} from '../transformer/architecture';
import type { BlockEndNames } from '../transformer/block-end-names';
import type { ModelConfig } from '../transformer/model-config';
import { curveInGguf } from './gguf-rows';
import type { NormKind } from '../parts/norm';
import {
  blockRoles,
  embeddingAndHeadRoles,
  expertRoles,
  renamed,
  roleName,
  sharedExpertRoles,
} from './gguf-roles';
import type { RoleNames, Roles } from './gguf-roles';
import type { GgufFamily } from './gguf-traits';

/** Blocks are named `blk.<number>.` */
export const ggufBlocks = 'blk';

/**
 * A family under the names of llama.cpp (gguf-py/gguf/tensor_mapping.py). The conversion has added
 * the offset to norms that have one.
 */
export function toGgufArchitecture(known: Architecture, family: GgufFamily): Architecture {
  const { altUp, blockForm, connections, end, experts, form, mixer, embeddingAndHead } = known;
  return renamed(
    {
      ...known,
      ...branchesInGguf(known, family),
      norm: withOffsetAdded(known.norm),
      transposed: false,
      embeddingAndHead: embeddingAndHeadInGguf(embeddingAndHead),
      ...(end === undefined ? {} : { end: endInGguf(end) }),
      ...(altUp === undefined
        ? {}
        : { altUp: { ...altUp, enter: 'altup_proj', leave: 'altup_unembd_proj' } }),
      ...(connections === undefined ? {} : { connections: { ...connections, ending: '.weight' } }),
      ...(experts === undefined ? {} : { experts: expertsInGguf(experts, family) }),
      ...(mixer === undefined ? {} : { mixer: mixerInGguf(mixer, family) }),
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
    },
    { ...embeddingAndHeadRoles, ...blockRoles },
    branchNames(known, family),
  );
}

/** Norm kind after its offset is added to the weights. */
function withOffsetAdded(norm: NormKind): NormKind {
  return norm === 'rms-offset' ? 'rms' : norm === 'layer-offset' ? 'layer' : norm;
}

function embeddingAndHeadInGguf({
  positions,
  ...embeddingAndHead
}: EmbeddingAndHeadNames): EmbeddingAndHeadNames {
  return {
    ...embeddingAndHead,
    prefixes: [''],
    heads: ['output'],
    blocks: ggufBlocks,
    ...(positions !== undefined && 'name' in positions
      ? { positions: { ...positions, offset: 0 } }
      : {}),
  };
}

const endInGguf = ({ scale, ...end }: BlockEndNames): BlockEndNames => ({
  ...end,
  ...(scale === undefined ? {} : { scale: () => 'altup_correct_scale.weight' }),
});

/** Names that depend on the other parts of a block. */
export function branchNames(
  { attention, feedforward }: Pick<Architecture, 'attention' | 'feedforward'>,
  { names = {} }: Pick<GgufFamily, 'names'>,
): RoleNames {
  const { wiring, gateUp } = feedforward;
  const isShared = wiring.norm !== undefined && wiring.norm === attention.wiring.norm;
  return {
    ...names,
    ...(isShared ? sharedNorm : {}),
    ...(attention.compressed === undefined ? {} : { 'attention.output': 'attn_output_b' }),
    ...(!('fused' in gateUp) && gateUp.length === 1 ? { 'feedforward.gateUp.0': 'ffn_up' } : {}),
  };
}

const sharedNorm = {
  'attention.wiring.norm': 'attn_norm',
  'feedforward.wiring.norm': 'attn_norm',
};

/** Attention and MLP with the row order of the conversion. */
function branchesInGguf(
  known: Architecture,
  family: GgufFamily,
): Pick<Architecture, 'attention' | 'feedforward'> {
  const { attention, feedforward } = known;
  const { latent, queryKeyValue } = attention;
  const { gateUp, parts } = feedforward;
  const { splitsGateUp = false } = family;
  return renamed(
    {
      attention: {
        ...attention,
        ...('fused' in queryKeyValue ? { queryKeyValue: { fused: '' } } : {}),
        ...(latent === undefined ? {} : { latent: { ...latent, apart: noNames } }),
      },
      feedforward: {
        ...feedforward,
        ...('fused' in gateUp && splitsGateUp ? { gateUp: ['', ''] } : {}),
        ...(parts?.xielu === undefined ? {} : { parts: { ...parts, xielu: curveInGguf } }),
      },
    },
    blockRoles,
    branchNames(known, family),
  );
}

/** Names of the two matrices that only files store separately, before they are renamed. */
const noNames = { keyUp: '', valueUp: '' };

function mixerInGguf(known: MixerNames, { mixer }: GgufFamily): MixerNames {
  const { module = '', form } = mixer ?? {};
  return {
    ...known,
    module,
    ...(form === undefined ? {} : { form: (config) => form(known.form(config), config) }),
  };
}

/** Names of a file's experts, which may have gates and ups in one tensor where Espalier writes two. */
export function readingGateUp({ experts }: Architecture): Partial<Architecture> {
  const { gateUp = '' } = experts?.joined ?? {};
  if (experts?.joined === undefined || typeof gateUp === 'string') {
    return {};
  }
  const joined = { ...experts.joined, gateUp: '', apart: gateUp };
  return renamed({ experts: { ...experts, joined } }, expertRoles, {});
}

/** One tensor for the gates of all experts, one for the ups and one for the downs; or one for gates and ups. */
function expertsInGguf(known: ExpertNames, { splitsGateUp = false }: GgufFamily): ExpertNames {
  const { shared, gateUp } = known;
  // llama.cpp has no tensor for the bias.
  const { sumBias: _, ...parts } = known.parts ?? {};
  const hasOwnNorms = parts.ownNorms !== undefined;
  const hasGate = gateUp.length > 1;
  const noPair = ['', ''] as const;
  const { experts } = renamed(
    {
      experts: {
        ...known,
        modules: [''],
        parts,
        joined: hasOwnNorms
          ? { gateUp: '', apart: noPair, down: '' }
          : { gateUp: hasGate ? noPair : '', down: '', biases: known.joined?.biases ?? false },
      },
    },
    expertRoles,
    hasGate ? {} : { 'experts.joined.gateUp': 'ffn_up_exps.weight' },
  );
  return shared === undefined
    ? experts
    : {
        ...experts,
        shared: (config) => {
          const names = shared(config);
          return names && (hasOwnNorms ? mlpInGguf(names) : sharedInGguf(names, splitsGateUp));
        },
      };
}

/** Names of a shared expert. */
function sharedInGguf(names: SharedExpertNames, splitsGateUp: boolean): SharedExpertNames {
  const { gateUp } = names;
  const isAlone = !('fused' in gateUp) && gateUp.length === 1;
  return renamed(
    { ...names, gateUp: 'fused' in gateUp && splitsGateUp ? ['', ''] : gateUp },
    sharedExpertRoles,
    isAlone ? { 'gateUp.0': 'ffn_up_shexp' } : {},
  );
}

/** Names of the MLP of a block that also has experts (src/models/gemma4.cpp). */
const mlpInGguf = (names: SharedExpertNames): SharedExpertNames =>
  renamed({ feedforward: names }, blockRoles, {}).feedforward;

/** Linear layers that have a bias in the file; see `describeGguf`. */
function biasesInGguf({ gguf_biases: biases }: ModelConfig): Biases {
  return biases ?? { queryKeyValue: false, attentionOutput: false, feedforward: false };
}

/** Names of modules in GGUF files, and below a prefix in folders, by role. */
const namePairs = (
  known: object,
  own: object,
  roles: Roles,
  prefix = '',
): readonly (readonly [inFile: string, inFolder: string])[] =>
  Object.entries(roles).flatMap(([role, [kind]]) => {
    const [name, inFile] = [roleName(known, role), roleName(own, role)];
    return name === undefined || inFile === undefined || kind === 'tensor' || kind === 'connection'
      ? []
      : [[inFile, `${prefix}${name}`] as const];
  });

/** Folder names below a block, or outside the blocks, by GGUF name for the same family. */
export function partNames(known: Architecture, own: Architecture): Map<string, string> {
  const { heads: [head = 'lm_head'] = [], prefixes } = known.embeddingAndHead;
  return new Map([
    ...namePairs(known, own, blockRoles).toReversed(),
    ...namePairs(known, own, embeddingAndHeadRoles, prefixes[0]),
    ['output', head],
  ]);
}
