import type { Value } from '../../../onnx/graph-builder';
import { deltaRule } from './delta-rule';
import type { DeltaRule } from './delta-rule';
import { gatedRecurrence } from './gated-recurrence';
import type { GatedRecurrence } from './gated-recurrence';
import { lightning } from './lightning';
import type { Lightning } from './lightning';
import type { MixerFinder, MixerInput, MixerParts } from './mixer-kind';
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

/** True if the layer reads which tokens are the first of their sequence. */
export const readsStarts = ({ kind }: MixerForm): boolean => kind === 'gated-recurrence';

export function findParts(form: MixerForm, finder: MixerFinder): MixerParts {
  switch (form.kind) {
    case 'short-convolution':
      return shortConvolution.find(form, finder);
    case 'delta-rule':
      return deltaRule.find(form, finder);
    case 'state-space':
      return stateSpace.find(form, finder);
    case 'selective-scan':
      return selectiveScan.find(form, finder);
    case 'gated-recurrence':
      return gatedRecurrence.find(form, finder);
    case 'lightning':
      return lightning.find(form, finder);
  }
}

/** Rows [batch · sequence, hiddenSize]. */
export function emitParts(input: MixerInput, form: MixerForm, parts: MixerParts): Value {
  switch (form.kind) {
    case 'short-convolution':
      return shortConvolution.emit(input, form, parts);
    case 'delta-rule':
      return deltaRule.emit(input, form, parts);
    case 'state-space':
      return stateSpace.emit(input, form, parts);
    case 'selective-scan':
      return selectiveScan.emit(input, form, parts);
    case 'gated-recurrence':
      return gatedRecurrence.emit(input, form, parts);
    case 'lightning':
      return lightning.emit(input, form, parts);
  }
}
