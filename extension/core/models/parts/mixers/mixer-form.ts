import { deltaRule } from './delta-rule';
import type { DeltaRule } from './delta-rule';
import { gatedRecurrence } from './gated-recurrence';
import type { GatedRecurrence } from './gated-recurrence';
import { lightning } from './lightning';
import type { Lightning } from './lightning';
import type { MixerKind } from './mixer-kind';
import { selectiveScan } from './selective-scan';
import type { SelectiveScan } from './selective-scan';
import { shortConvolution } from './short-convolution';
import type { ShortConvolution } from './short-convolution';
import { stateSpace } from './state-space';
import type { StateSpace } from './state-space';

/** Kind and sizes of an SSM, linear-attention or convolution layer. */
export type MixerForm =
  | ShortConvolution
  | DeltaRule
  | StateSpace
  | SelectiveScan
  | GatedRecurrence
  | Lightning;

const kinds: {
  readonly [Form in MixerForm as Form['kind']]: MixerKind<Form>;
} = {
  'short-convolution': shortConvolution,
  'delta-rule': deltaRule,
  'state-space': stateSpace,
  'selective-scan': selectiveScan,
  'gated-recurrence': gatedRecurrence,
  lightning,
};

/** Kind of an SSM or linear-attention layer: tensors, graph and label. */
export const mixerKind = ({ kind }: MixerForm): MixerKind<MixerForm> => kinds[kind];
