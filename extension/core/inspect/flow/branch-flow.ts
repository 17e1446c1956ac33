import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import type { AttentionShape, AttentionWeights } from '../../models/modules/attention-heads';
import { xieluTensors } from '../../models/modules/mlp';
import { biasGateTensors } from '../../models/parts/gated-bias';
import type { FeedforwardShape, FeedforwardWeights } from '../../models/modules/mlp';
import { patchWidth } from '../../models/patch/symbolic-patch';
import type { SymbolicPatch } from '../../models/patch/symbolic-patch';
import type { Rotary } from '../../models/parts/rotary';
import { partTensors } from '../../models/transformer/part-tensors';
import type { Dimension } from '../../onnx/graph-builder';
import type { BranchBuilder } from './branch-builder';
import type { Wire } from './flow-builder';
import type { FlowGroup } from './flow-document';
import { counted, listed, say, verbatim } from '../../message';
import type { Adapter, SharedParts } from '../../models/parts/adapted';

/** A branch as drawn, and what it gives. */
export interface BranchFlow {
  readonly group: FlowGroup;
  readonly out: Wire;
}

/** What attention has besides its weights. */
export interface AttentionContext {
  readonly rotary: Rotary | undefined;
  readonly slidingWindow: number | undefined;
  /** Whether tokens see only those before them, whose keys and values are kept. */
  readonly causal: boolean;
  /** What an encoder gives, where keys and values are of that. */
  readonly encoded?: Wire | undefined;
  /** What scores gain by distance, where blocks share it. */
  readonly biasTable?: LazyTensor | undefined;
  /** What scores lose by distance, by head (ALiBi). */
  readonly slopes?: readonly number[] | undefined;
  /** What the embedding gives, and the activation of the feed-forward behind it, where blocks share a transformer. */
  readonly sharing?: { readonly embedded: Wire; readonly activation: string } | undefined;
}

/** Attention without the sum that adds it to the stream; `normed` where its norm is another's too. */
export function attentionFlow(
  branch: BranchBuilder,
  shape: AttentionShape,
  weights: AttentionWeights,
  { rotary, slidingWindow, causal, encoded, biasTable, slopes, sharing }: AttentionContext,
  input: Wire,
  normed?: Wire,
): BranchFlow {
  const { numHeads, numKeyValueHeads, headDim, valueDim, norm } = shape;
  const [batch = '', sequence = ''] = input.shape;
  const both =
    sharing === undefined || weights.shared === undefined
      ? input
      : branch.add('both', 'combine', say`Beside the embedding`, [input, sharing.embedded], {
          shape: [batch, sequence, 2 * shape.hiddenSize],
        });
  const x = normed ?? branch.norm('norm', norm, both, weights.norm);
  const [first, key, value] = weights.queryKeyValue;
  const heads = (count: number): Dimension[] => [batch, sequence, count, headDim];
  let q: Wire;
  let k: Wire;
  let v: Wire;
  if (shape.latent !== undefined) {
    const { from } = branch.add('query-key-value', 'weights', say`Query, key, value`, [x], {
      detail: say`from latents, ${shape.latent.keyValueRank} wide for keys and values`,
      tensors: [
        ...weights.queryKeyValue.flatMap((linear) => partTensors(linear)),
        ...partTensors(weights.latentNorms?.query),
        ...partTensors(weights.latentNorms?.keyValue),
      ],
    });
    q = k = v = { from, shape: heads(numHeads) };
  } else if (first !== undefined && weights.othersKeys !== undefined) {
    q = branch.linear('query', say`Query`, x, first, numHeads * headDim);
    const { block, keyValue, keyNorm, norm: othersNorm } = weights.othersKeys;
    const read = encoded === undefined ? [] : [encoded];
    k = v = branch.add('others-keys', 'input', say`Keys and values`, read, {
      shape: [batch, encoded?.shape[1] ?? sequence, numKeyValueHeads, headDim],
      detail: block === undefined ? say`of the encoder` : say`of block ${block}`,
      tensors: [...keyValue, othersNorm, keyNorm].flatMap((part) => partTensors(part)),
    });
  } else if (first !== undefined && key !== undefined) {
    q = branch.linear('query', say`Query`, x, first, numHeads * headDim);
    k = branch.linear(
      'key',
      value === undefined ? say`Key and value` : say`Key`,
      x,
      key,
      numKeyValueHeads * headDim,
    );
    v =
      value === undefined
        ? k
        : branch.linear('value', say`Value`, x, value, numKeyValueHeads * valueDim);
  } else {
    const { from } = branch.add('query-key-value', 'weights', say`Query, key, value`, [x], {
      tensors: partTensors(first),
    });
    q = { from, shape: heads(numHeads) };
    k = v = { from, shape: heads(numKeyValueHeads) };
  }
  const [forQuery, forKey, forValue] = weights.shared?.adapters ?? [];
  q = adaptedFlow(branch, 'query', x, q, forQuery);
  k = adaptedFlow(branch, 'key', x, k, forKey);
  v = adaptedFlow(branch, 'value', x, v, forValue);
  const norms = weights.queryKeyNorms;
  const normHeads = (): void => {
    q = { ...branch.norm('query-norm', norm, q, norms?.query), shape: heads(numHeads) };
    k = { ...branch.norm('key-norm', norm, k, norms?.key), shape: heads(numKeyValueHeads) };
  };
  if (!shape.turnsFirst) {
    normHeads();
  }
  v = encoded === undefined ? { ...v, shape: heads(numKeyValueHeads) } : v;
  const isOwn = weights.othersKeys === undefined;
  if (weights.normsValues === true && isOwn) {
    v = { ...branch.norm('value-norm', norm, v, {}), shape: heads(numKeyValueHeads) };
  }
  if (rotary !== undefined) {
    const detail = say`rotary, ${rotary.dimensions} of ${headDim} dimensions`;
    q = branch.add('rotate-query', 'operator', say`Rotate query`, [q], { detail });
    k = isOwn ? branch.add('rotate-key', 'operator', say`Rotate key`, [k], { detail }) : k;
  }
  if (shape.turnsFirst) {
    normHeads();
  }
  const kept =
    causal && isOwn
      ? branch.add('cache', 'cache', say`Key/value cache`, [k, v], {
          shape: heads(numKeyValueHeads),
          detail: say`${numKeyValueHeads * (headDim + valueDim)} numbers per token`,
        })
      : undefined;
  const headsText =
    numKeyValueHeads === numHeads
      ? say`${counted(numHeads, 'head')} × ${headDim}`
      : say`${counted(numHeads, 'head')} × ${headDim} in ${counted(numKeyValueHeads, 'group')}`;
  const seen =
    slidingWindow === undefined
      ? causal
        ? say`causal`
        : say`sees all`
      : say`window of ${slidingWindow}`;
  const cap = shape.softCap === undefined ? [] : [say`soft cap ${shape.softCap}`];
  const sinks = weights.sinks === undefined ? [] : [say`a sink per head`];
  const grid = weights.gridBias === undefined ? [] : [say`bias by distance in the image`];
  const difference = weights.difference === undefined ? [] : [say`difference of heads in pairs`];
  const distances = weights.distanceBias?.table ?? biasTable;
  const bias =
    (distances ?? slopes) === undefined
      ? []
      : [weights.biasGate === undefined ? say`bias by distance` : say`gated bias by distance`];
  const context = branch.add(
    'attention',
    'attention',
    verbatim('Softmax(q·kᵀ)·v'),
    [q, ...(kept === undefined ? [k, v] : [kept])],
    {
      detail: listed([headsText, seen, ...cap, ...sinks, ...grid, ...bias, ...difference]),
      shape: [batch, sequence, numHeads * valueDim],
      tensors: [
        weights.sinks,
        weights.gridBias?.table,
        ...(weights.difference?.factors ?? []),
        ...biasGateTensors(weights.biasGate),
        distances,
      ],
    },
  );
  const gated =
    weights.gate === undefined ? context : branch.gate('gate', x, context, weights.gate);
  const inner = branch.norm('inner-norm', norm, gated, weights.innerNorm);
  const projected =
    weights.shared === undefined
      ? branch.linear('output', say`Output`, inner, weights.output, shape.hiddenSize)
      : behindHeads(
          branch,
          shape,
          sharing?.activation ?? '',
          weights.shared,
          weights.output,
          inner,
        );
  const out = branch.ending(shape, projected, weights);
  const label = encoded === undefined ? say`Attention` : say`Cross-attention`;
  return { group: branch.group(label, headsText), out };
}

/** A feed-forward without the sum that adds it to the stream. */
export function feedforwardFlow(
  branch: BranchBuilder,
  shape: FeedforwardShape,
  weights: FeedforwardWeights,
  input: Wire,
  normed?: Wire,
): BranchFlow {
  const x = normed ?? branch.norm('norm', shape.norm, input, weights.norm);
  const wide = innerFlow(branch, shape, weights, x);
  const inner = branch.norm('inner-norm', shape.norm, wide, weights.innerNorm);
  const down = branch.linear('down', say`Down`, inner, weights.down, shape.hiddenSize);
  const out = branch.ending(shape, down, weights);
  return { group: branch.group(say`Feed-forward`, say`${inner.shape.at(-1) ?? '?'} wide`), out };
}

/** activation(gate(x)) · up(x), or activation(up(x)). */
export function innerFlow(
  branch: BranchBuilder,
  { activation, gated }: FeedforwardShape,
  {
    gateUp,
    down,
    curve,
    openFrom,
  }: Pick<FeedforwardWeights, 'gateUp' | 'down' | 'curve' | 'openFrom'>,
  x: Wire,
): Wire {
  const width = (down.transposed === true ? down.weight.shape[0] : down.weight.shape.at(-1)) ?? '?';
  const inner = [...x.shape.slice(0, -1), width];
  const [first, second] = gateUp;
  if (first === undefined || !gated) {
    const up = branch.add('up', 'weights', say`Up`, [x], {
      shape: inner,
      tensors: partTensors(first),
    });
    return branch.add('activation', 'operator', verbatim(activation), [up], {
      tensors: xieluTensors(curve),
    });
  }
  if (second === undefined) {
    const both = branch.add('gate-up', 'weights', say`Gate and up`, [x], {
      shape: inner,
      tensors: partTensors(first),
    });
    const gate = branch.add('activation', 'operator', verbatim(activation), [both], {
      detail: say`of the gate`,
    });
    return branch.add('product', 'combine', verbatim('×'), [gate, both]);
  }
  const gate = branch.add('gate', 'weights', say`Gate`, [x], {
    shape: inner,
    tensors: partTensors(first),
  });
  const up = branch.add('up', 'weights', say`Up`, [x], {
    shape: inner,
    tensors: partTensors(second),
  });
  const open =
    openFrom === undefined
      ? gate
      : branch.add('open', 'operator', say`Largest gates`, [gate], {
          detail: verbatim(`> mean + ${Number(openFrom.toPrecision(4))} σ`),
        });
  const active = branch.add('activation', 'operator', verbatim(activation), [open]);
  return branch.add('product', 'combine', verbatim('×'), [active, up]);
}

/** A symbolic patch without the sum that adds it to the stream. */
export function patchFlow(
  branch: BranchBuilder,
  { program, graph, tensors }: SymbolicPatch,
  input: Wire,
): BranchFlow {
  const of = (part: string): LazyTensor[] =>
    Object.entries(tensors).flatMap(([name, tensor]) => (name.startsWith(part) ? [tensor] : []));
  const shape = [...input.shape.slice(0, -1), patchWidth];
  const down = branch.add('down', 'weights', say`Down`, [input], { shape, tensors: of('down.') });
  const module = branch.add('module', 'weights', say`Graph convolutions`, [down], {
    shape,
    detail: listed([counted(graph.nodes.length, 'node'), counted(graph.edges.length, 'edge')]),
    tensors: of('module.'),
  });
  const { shape: size } = input;
  const out = branch.add('up', 'weights', say`Up`, [module], { shape: size, tensors: of('up.') });
  return { group: branch.group(say`Graph module`, verbatim(program)), out };
}

/** y, and what an adapter makes of x where there is one. */
function adaptedFlow(
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

/** Steps of a shared transformer after its heads. */
function behindHeads(
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
