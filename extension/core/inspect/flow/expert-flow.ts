import type { ExpertShape, ExpertWeights, SharedExpert } from '../../models/modules/moe';
import { BranchBuilder } from './branch-builder';
import { innerFlow } from './branch-flow';
import type { BranchFlow } from './branch-flow';
import type { FlowBuilder, Wire } from './flow-builder';
import type { FlowGroup } from './flow-document';
import { say, verbatim } from '../../message';

/** A mixture of experts without the sum that adds it to the stream. */
export function expertFlow(
  flow: FlowBuilder,
  branch: BranchBuilder,
  shape: ExpertShape,
  weights: ExpertWeights,
  input: Wire,
): BranchFlow {
  const { norm, count, perToken, hiddenSize } = shape;
  const { apart, shared } = weights;
  const x = branch.norm('norm', norm, input, weights.norm);
  const read = apart === undefined ? x : branch.norm('experts-norm', norm, input, apart.norm);
  const scores = branch.add('router', 'weights', say`Router`, [apart === undefined ? x : input], {
    shape: [...x.shape.slice(0, -1), count],
    tensors: [
      ...weights.router,
      ...weights.routerBias,
      ...weights.choiceBias,
      ...weights.shareFactors,
      weights.byToken,
      apart?.routerScale,
    ],
  });
  const chosen = branch.add('choose', 'operator', say`Choose ${perToken} of ${count}`, [scores], {
    shape: [...x.shape.slice(0, -1), perToken],
  });
  const { id } = branch;
  const outs: Wire[] = [];
  const experts = weights.experts.map((expert, j): FlowGroup => {
    const own = new BranchBuilder(flow, `${id}/expert.${j}`);
    const inner = innerFlow(own, shape, expert, read);
    outs.push(own.linear('down', say`Down`, inner, expert.down, hiddenSize));
    return {
      id: `${id}/expert.${j}`,
      kind: 'part',
      label: say`Expert ${j}`,
      detail: say`${inner.shape.at(-1) ?? '?'} wide`,
      children: own.items,
    };
  });
  branch.items.push({
    id: `${id}/experts`,
    kind: 'run',
    label: say`Experts 0 to ${count - 1}`,
    detail: say`${perToken} per token`,
    shown: 1,
    children: experts,
  });
  const weighted = branch.add('sum', 'combine', say`Weighted sum`, [...outs, chosen], {
    shape: x.shape,
    tensors: [weights.sumBias],
  });
  const sum =
    shared === undefined
      ? weighted
      : branch.add('shared-sum', 'combine', verbatim('+'), [
          branch.norm('experts-post-norm', norm, weighted, apart?.postNorm),
          branch.norm(
            'shared-post-norm',
            norm,
            sharedFlow(flow, id, shape, shared, x, branch),
            apart?.sharedPostNorm,
          ),
        ]);
  const out = branch.ending(shape, sum, weights);
  return { group: branch.group(say`Experts`, say`${perToken} of ${count} per token`), out };
}

/** The expert that every token is sent to. */
function sharedFlow(
  flow: FlowBuilder,
  id: string,
  shape: ExpertShape,
  shared: SharedExpert,
  x: Wire,
  branch: BranchBuilder,
): Wire {
  const own = new BranchBuilder(flow, `${id}/shared`);
  const inner = innerFlow(own, shape, shared, x);
  const down = own.linear('down', say`Down`, inner, shared.down, shape.hiddenSize);
  const out = shared.gate === undefined ? down : own.gate('gate', x, down, shared.gate);
  branch.items.push({
    id: `${id}/shared`,
    kind: 'part',
    label: say`Shared expert`,
    detail: say`${inner.shape.at(-1) ?? '?'} wide`,
    children: own.items,
  });
  return out;
}
