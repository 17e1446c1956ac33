import {
  gatingKey,
  sigmoid,
  softmax,
  denseBlocks,
  expertGroups,
  ggufFields,
  queryLatent,
  valueLength,
} from '../../models/gguf/gguf-fields';
import { attentionInterval, mixerFlags } from '../../models/gguf/mixer-places';
import { hasExperts } from '../../models/gguf/tensor-placement';
import type { MixerForm } from '../../models/parts/mixers/mixer-form';
import type { Changes } from '../changes';
import { blockParts, configSizes } from './folder-model';
import type { FolderModel } from './folder-model';
import type { HeaderEntries } from './header-entries';

export function expertEntries(
  entries: HeaderEntries,
  model: FolderModel,
  { blocks, expertCounts }: Changes,
): void {
  const { architecture, config, target } = model;
  const { experts } = architecture;
  const hasDense = Object.values(target.family.fields ?? {}).includes(denseBlocks);
  if (experts === undefined || !hasExperts(architecture, config)) {
    if (hasDense) {
      // llama.cpp asks for these in models without experts, too (conversion/deepseek.py).
      entries.integer(denseBlocks, blocks.length);
      entries.integer(ggufFields.moe_intermediate_size, config.intermediate_size);
      entries.integer('expert_shared_count', 0);
    }
    return;
  }
  const [count = config.num_experts] = expertCounts.values();
  const shared = experts.shared?.(config);
  entries.integer(ggufFields.num_experts, count);
  entries.integer(ggufFields.num_experts_per_tok, Math.min(count, config.num_experts_per_tok));
  entries.integer(ggufFields.moe_intermediate_size, experts.inner(config));
  if (shared !== undefined) {
    entries.integer(ggufFields.shared_expert_intermediate_size, shared.inner);
  }
  const { score, groups, normalized = true } = experts.routing?.(config) ?? {};
  if (target.family.storesGating === true) {
    entries.integer(gatingKey, softmax);
    entries.flag('expert_weights_norm', normalized);
  }
  if (score === 'sigmoid') {
    entries.integer(gatingKey, sigmoid);
  }
  if (groups !== undefined) {
    entries.integer(expertGroups, groups.count);
    entries.integer('expert_group_used_count', groups.chosen);
  }
  if (hasDense) {
    const dense = blocks.filter((block) => !blockParts(model, block).includes('expert'));
    entries.integer(denseBlocks, dense.length);
  }
}

/** Header sizes for latent attention, which llama.cpp treats as a single key/value head (conversion/deepseek.py). */
export function latentEntries(
  entries: HeaderEntries,
  { architecture, config, target }: FolderModel,
): void {
  const shape = architecture.latent?.(config);
  if (shape === undefined) {
    return;
  }
  const { queryRank, keyValueRank, plainDim, rotaryDim, valueDim } = shape;
  if (queryRank !== undefined) {
    entries.integer(queryLatent, queryRank);
  }
  entries.integer('attention.kv_lora_rank', keyValueRank);
  if (target.family.joinsLatent === true) {
    entries.integer(ggufFields.head_dim, plainDim + rotaryDim);
    entries.integer(valueLength, valueDim);
  } else {
    entries.integer(ggufFields.head_dim, keyValueRank + rotaryDim);
    entries.integer(valueLength, keyValueRank);
    entries.integer('attention.key_length_mla', plainDim + rotaryDim);
    entries.integer('attention.value_length_mla', valueDim);
  }
  entries.integer('rope.dimension_count', rotaryDim);
}

/** Blocks that contain a mixer, and the sizes of the mixers. */
export function mixerEntries(
  entries: HeaderEntries,
  model: FolderModel,
  { blocks, widths }: Changes,
): void {
  const { architecture, config, target } = model;
  const { mixer, latent } = architecture;
  if (mixer === undefined) {
    if (latent !== undefined && target.family.joinsLatent !== true) {
      entries.integer(ggufFields.num_key_value_heads, 1);
    }
    return;
  }
  const { family } = target;
  const { keyValueHeads } = configSizes(config);
  const parts = blocks.map((block) => blockParts(model, block));
  const attends = parts.map((own) => own.includes('attention'));
  const heads = latent === undefined ? keyValueHeads : 1;
  if (family.mixed === undefined && !attends.includes(true)) {
    entries.remove(ggufFields.num_key_value_heads, ggufFields.head_dim, valueLength);
    entries.integer(ggufFields.num_attention_heads, 0);
    entries.integer(ggufFields.intermediate_size, 0);
  } else if (family.byInterval === true) {
    const interval = findInterval(attends);
    if (interval !== undefined) {
      entries.integer(attentionInterval, interval);
    }
    entries.flags(
      mixerFlags,
      attends.map((own) => !own),
    );
  } else if (family.mixed !== undefined) {
    entries.integers(
      ggufFields.num_key_value_heads,
      attends.map((own) => (own ? heads : 0)),
    );
  }
  if (family.hasSingles === true) {
    const inner = {
      expert: architecture.experts?.inner(config),
      feedforward: config.intermediate_size,
    };
    entries.integers(
      ggufFields.intermediate_size,
      parts.map(([kind], block) =>
        kind === 'expert' || kind === 'feedforward'
          ? (widths[`block.${block}.${kind}`] ?? inner[kind] ?? 0)
          : 0,
      ),
    );
  }
  formEntries(entries, mixer.form(config));
}

/** The n for which every n-th block attends, and no other. */
function findInterval(attends: readonly boolean[]): number | undefined {
  const interval = attends.indexOf(true) + 1;
  return interval > 0 && attends.every((own, block) => own === ((block + 1) % interval === 0))
    ? interval
    : undefined;
}

function formEntries(entries: HeaderEntries, form: MixerForm): void {
  const sizes = (
    kernel: number,
    state: number,
    inner: number,
    rank: number,
    groups?: number,
  ): void => {
    entries.integer('ssm.conv_kernel', kernel);
    entries.integer('ssm.state_size', state);
    entries.integer('ssm.inner_size', inner);
    entries.integer('ssm.time_step_rank', rank);
    if (groups !== undefined) {
      entries.integer('ssm.group_count', groups);
    }
  };
  switch (form.kind) {
    case 'short-convolution':
      entries.integer('shortconv.l_cache', form.kernel);
      break;
    case 'delta-rule': {
      const { kernel, keyDim, valueDim, valueHeads, keyHeads } = form;
      if ('decay' in form.names && form.names.decay.length > 1) {
        entries.integer('kda.head_dim', keyDim);
        entries.integer('ssm.conv_kernel', kernel);
      } else {
        sizes(kernel, keyDim, valueDim * valueHeads, valueHeads, keyHeads);
      }
      break;
    }
    case 'state-space': {
      const { kernel, stateSize, heads, headDim, groups } = form;
      sizes(kernel, stateSize, heads * headDim, heads, groups);
      break;
    }
    case 'selective-scan':
      sizes(form.kernel, form.stateSize, form.width, form.stepRank);
      entries.flag('ssm.dt_b_c_rms', typeof form.innerNorms === 'object');
      break;
    case 'gated-recurrence':
    case 'lightning':
      throw new Error(`no GGUF family has mixers of kind ${form.kind}`);
  }
}
