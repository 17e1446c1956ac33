import type { Adapter, SharedParts } from '../../models/parts/adapted';
import type { AttentionShape, AttentionWeights } from '../../models/modules/attention-heads';
import { partTensors } from '../../models/transformer/part-tensors';
import { say, verbatim } from '../../message';
import type { BranchBuilder } from './branch-builder';
import type { Wire } from './flow-builder';

/** y, and what an adapter makes of x where there is one. */
export function adaptedFlow(
  branch: BranchBuilder,
  name: string,
  x: Wire,
  y: Wire,
  adapter: Adapter | undefined,
): Wire {
  if (adapter === undefined) {
    return y;
  }
  const added = branch.add(`${name}-adapter`, 'weights', say`Adapter`, [x], {
    shape: y.shape,
    tensors: [adapter.down, adapter.up].flatMap((linear) => partTensors(linear)),
  });
  return branch.add(`${name}-adapted`, 'combine', verbatim('+'), [y, added]);
}

/** What a shared transformer makes of what its heads give. */
export function behindHeads(
  branch: BranchBuilder,
  { norm, hiddenSize }: AttentionShape,
  activation: string,
  { attended, norm: innerNorm, gateUp, gateUpAdapter, down }: SharedParts,
  output: AttentionWeights['output'],
  heads: Wire,
): Wire {
  const all = branch.linear('attended', say`Output of the heads`, heads, attended, hiddenSize);
  const x = branch.norm('inner-norm', norm, all, innerNorm);
  const both = branch.linear('gate-up', say`Gate and up`, x, gateUp);
  const wide = adaptedFlow(branch, 'gate-up', x, both, gateUpAdapter);
  const opened = branch.add('activation', 'operator', verbatim(activation), [wide], {
    shape: [...x.shape.slice(0, -1), down.weight.shape[1] ?? '?'],
    detail: say`of the gate`,
  });
  const inner = branch.linear('down', say`Down`, opened, down, hiddenSize);
  return branch.linear('output', say`Output`, inner, output, hiddenSize);
}
