import type { MixerShape, MixerWeights } from '../../models/modules/mixer';
import type { MixerForm } from '../../models/parts/mixers/mixer-form';
import { say } from '../../message';
import type { Message } from '../../message';
import { partTensors } from '../../models/transformer/part-tensors';
import type { BranchBuilder } from './branch-builder';
import type { BranchFlow } from './branch-flow';
import type { Wire } from './flow-builder';

const formNames: Readonly<Record<MixerForm['kind'], Message>> = {
  'short-convolution': say`Gate`,
  'delta-rule': say`Gated delta rule`,
  'state-space': say`State space (Mamba-2)`,
  'selective-scan': say`Selective scan (Mamba)`,
  lightning: say`Lightning attention`,
  'gated-recurrence': say`Gated recurrence (RG-LRU)`,
};

/** A mixer without the sum that adds it to the stream; `normed` where its norm is another's too. */
export function mixerFlow(
  branch: BranchBuilder,
  { hiddenSize, norm, form }: MixerShape,
  { linears, convolutions, norms, tensors, ...branchNorms }: MixerWeights,
  input: Wire,
  normed?: Wire,
): BranchFlow {
  const x = normed ?? branch.norm('norm', norm, input, branchNorms.norm);
  const inner = linears.slice(0, -1);
  // The others read what comes out of the convolution, or each other.
  const readsInput = inner.filter(({ weight }) => weight.shape.at(-1) === hiddenSize);
  const inputs = readsInput.map((linear, i) => branch.linear(`input-${i}`, say`Input`, x, linear));
  const convolved = branch.add('convolution', 'weights', say`Causal convolution`, inputs, {
    tensors: convolutions.flatMap(({ weight, bias }) => [weight, bias]),
  });
  const others = inner.filter((linear) => !readsInput.includes(linear));
  const mixed = branch.add('mix', 'operator', formNames[form.kind], [convolved], {
    tensors: [...[...others, ...norms].flatMap((part) => partTensors(part)), ...tensors],
  });
  const output = linears.at(-1);
  const y =
    output === undefined ? mixed : branch.linear('output', say`Output`, mixed, output, hiddenSize);
  const out = branch.norm('post-norm', norm, y, branchNorms.postNorm);
  return { group: branch.group(say`Mixer`, formNames[form.kind]), out };
}
