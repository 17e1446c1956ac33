import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import type { ModelOutput } from '../layered-model';
import type { Values } from '../model-emitter';
import { emitActivation } from '../parts/activations';
import { emitLinearOver } from '../parts/linear';
import { emitNorm } from '../parts/norm';
import type { HeadReads } from './encoder-architecture';
import type { EncoderLayout } from './encoder-layout';
import { endName } from './encoder-sides';
import { tokensBeforePatches } from './find-embedding';
import type { EncoderEmbedding } from './find-embedding';

/** Output of the model: scores, an embedding, or all last hidden states. */
export function encoderOutput({ head }: Pick<EncoderLayout, 'head'>): ModelOutput {
  const embedding = head?.gives ?? (head?.pools === true ? 'sentence_embedding' : undefined);
  return {
    name: embedding ?? (head === undefined ? 'last_hidden_state' : 'logits'),
    givesScores: head !== undefined && embedding === undefined,
    seesWhole: true,
  };
}

/**
 * Emits the model's output for its last hidden states [batch, sequence, hidden]: the final norm, and the head if there
 * is one.
 */
export function emitHead(
  graph: GraphBuilder,
  {
    embedding,
    finalNorm,
    head,
    norm,
  }: Pick<EncoderLayout, 'embedding' | 'finalNorm' | 'head' | 'norm'>,
  hidden: Value,
  side: Values,
): Value {
  const normed = finalNorm === undefined ? hidden : emitNorm(graph, norm, hidden, finalNorm);
  if (head === undefined) {
    return normed;
  }
  const pooled = graph.step(head.reads, () =>
    emitPooled(graph, head.reads, embedding, normed, side),
  );
  const read = head.norm === undefined ? pooled : emitNorm(graph, norm, pooled, head.norm);
  return head.steps.reduce((x, step) => {
    const linear = emitLinearOver(graph, step.linear, x);
    const active =
      step.activation === undefined ? linear : emitActivation(graph, step.activation, linear);
    return step.norm === undefined ? active : emitNorm(graph, norm, active, step.norm);
  }, read);
}

/** Emits the input of the head: pooled hidden states [batch, width], or all hidden states. */
function emitPooled(
  graph: GraphBuilder,
  reads: HeadReads,
  embedding: EncoderEmbedding,
  hidden: Value,
  { [endName]: end = '' }: Values,
): Value {
  switch (reads) {
    case 'all':
      return hidden;
    case 'first':
      return emitAt(graph, hidden, 0);
    case 'last':
      return emitAt(graph, hidden, -1);
    case 'end':
      return graph.op('ReduceSum', [graph.op('Mul', [hidden, end]), graph.ints([1])], {
        keepdims: 0,
      });
    case 'mean-of-two':
      return emitMeanBetween(graph, hidden, 0, 2);
    case 'mean':
      return emitMean(graph, embedding, hidden);
    case 'first-and-mean':
      return graph.op('Concat', [emitAt(graph, hidden, 0), emitMean(graph, embedding, hidden)], {
        axis: -1,
      });
  }
}

const emitAt = (graph: GraphBuilder, hidden: Value, position: number): Value =>
  graph.op('Gather', [hidden, graph.ints([position], [])], { axis: 1 });

/** The mean of the patches. */
function emitMean(graph: GraphBuilder, embedding: EncoderEmbedding, hidden: Value): Value {
  const from = embedding.kind === 'image' ? tokensBeforePatches(embedding) : 0;
  return emitMeanBetween(graph, hidden, from, Number.MAX_SAFE_INTEGER);
}

/** The mean of the positions from `from` to in front of `to`. */
function emitMeanBetween(graph: GraphBuilder, hidden: Value, from: number, to: number): Value {
  const isAll = from === 0 && to === Number.MAX_SAFE_INTEGER;
  const part = isAll
    ? hidden
    : graph.op('Slice', [hidden, graph.ints([from]), graph.ints([to]), graph.ints([1])]);
  return graph.op('ReduceMean', [part], { axes: [1], keepdims: 0 });
}
