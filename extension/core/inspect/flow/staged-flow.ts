import { flatPieces } from '../../models/stages/piece';
import type { Piece } from '../../models/stages/piece';
import type { StagedModel } from '../../models/stages/staged-model';
import type { StoredTensor } from '../model-description';
import { say, verbatim } from '../../message';
import { BranchBuilder } from './branch-builder';
import { blockLabel, FlowBuilder } from './flow-builder';
import type { Wire } from './flow-builder';
import type { Flow, FlowGroup } from './flow-document';

const labels = {
  attention: say`Attention`,
  feedforward: say`Feed-forward`,
  convolution: say`Convolution`,
} as const;

/** The flow of a model of stages, step by step. */
export function stagedFlow(
  { layout, inputs, output }: Pick<StagedModel, 'layout' | 'inputs' | 'output'>,
  tensors: readonly StoredTensor[],
): Flow {
  const flow = new FlowBuilder(tensors);
  const root = new BranchBuilder(flow, 'model');
  const pixels = root.add('pixel_values', 'input', say`Pixels`, [], {
    shape: inputs[0]?.shape ?? [],
  });
  let stream = steps(root, 'stem', layout.start, pixels);
  const blocks = new Map<number, FlowGroup & { readonly children: FlowGroup['children'] }>();
  for (const { id, block, kind, branch, behind } of layout.sublayers) {
    const own = new BranchBuilder(flow, id);
    const out = steps(own, 'step', branch, stream);
    const around = new BranchBuilder(flow, `block.${block}`);
    around.items.push(own.group(labels[kind]));
    stream = around.add(`${kind}-sum`, 'combine', verbatim('+'), [stream, out]);
    stream = steps(around, `${kind}-behind`, behind, stream);
    const known = blocks.get(block);
    blocks.set(block, {
      id: `block.${block}`,
      kind: 'block',
      row: `block.${block}`,
      label: blockLabel(block),
      children: [...(known?.children ?? []), ...around.items],
    });
  }
  root.items.push(...blocks.values());
  const logits = layout.head === undefined ? stream : steps(root, 'head', layout.head, stream);
  root.add('output', 'output', verbatim(output.name), [logits]);
  return { source: 'architecture', items: root.items, edges: flow.edges, omitted: 0 };
}

/** The pieces one after the other. */
function steps(branch: BranchBuilder, name: string, piece: Piece, input: Wire): Wire {
  return flatPieces(piece).reduce(
    (x, { label, tensors }, i) =>
      branch.add(`${name}.${i}`, tensors.length === 0 ? 'operator' : 'weights', label, [x], {
        shape: [],
        tensors,
      }),
    input,
  );
}
