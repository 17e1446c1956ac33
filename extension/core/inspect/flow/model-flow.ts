import { listed, say, verbatim } from '../../message';
import type { Message } from '../../message';
import type { EncoderModel } from '../../models/encoders/encoder-model';
import type { SublayerCache } from '../../models/model-emitter';
import { stream } from '../../models/model-emitter';
import type { Attention } from '../../models/modules/attention';
import type { Sublayer } from '../../models/modules/sublayer-list';
import type { Seq2SeqModel } from '../../models/seq2seq/seq2seq-model';
import { declareInputs } from '../../models/transformer/tapped-part';
import type { StagedModel } from '../../models/stages/staged-model';
import type { StagedSublayer } from '../../models/stages/staged-sublayer';
import type { TransformerModel } from '../../models/transformer/transformer-model';
import type { StoredTensor } from '../model-description';
import { Box, DrawnGraph, Frame, StoredNames } from './drawn-graph';
import { blockLabel, isGroup, edgesWithin, blockSignature } from './flow-document';
import type { Flow } from './flow-document';
import { foldItems } from './fold-blocks';
import { sublayerLabels } from './step-labels';

type ModuleModel = TransformerModel | EncoderModel | Seq2SeqModel | StagedModel;

/** Flow of a model built from modules, drawn from the nodes that it emits. */
export function modelFlow(model: ModuleModel, tensors: readonly StoredTensor[]): Flow {
  const { sublayers, inputs, output } = model;
  const layers = sublayers.flatMap((sublayer: Sublayer | StagedSublayer, i) =>
    sublayer.linearLayers(i),
  );
  const graph = new DrawnGraph(new StoredNames(tensors), layers);
  declareInputs(graph, inputs);
  const { state: first, side } = model.emitInputs(graph);
  let state = first;
  let frame: Frame | undefined;
  for (const [index, sublayer] of sublayers.entries()) {
    const id = `block.${sublayer.block}`;
    if (frame?.id !== id) {
      frame = new Frame(id, 'block', blockLabel(sublayer.block));
      graph.whole.items.push(frame);
    }
    const own = sublayerFrame(model, sublayer, index);
    const before = state;
    state = graph.drawSublayer(frame, own, () =>
      model.emitSublayer(
        graph,
        index,
        before,
        side,
        model.cachesAt(index) ? { cache: undrawnCache(graph) } : {},
      ),
    );
  }
  graph.outsideLabel = 'head';
  graph.output(output.name, model.emitEpilogue(graph, state[stream] ?? '', side));
  return drawnFlow(graph, tensors);
}

const undrawnCache = (graph: DrawnGraph): SublayerCache => ({
  past: (_, sizes) => graph.undrawn(['batch', ...sizes]),
  keep: () => undefined,
});

function drawnFlow(
  { whole, inputBoxes, edges }: DrawnGraph,
  tensors: readonly StoredTensor[],
): Flow {
  const used = new Set(edges.map(({ from }) => from));
  const shared = shareTensors(whole.items.filter((item) => item instanceof Box));
  const inputs = inputBoxes.flatMap((box) => (used.has(box.id) ? [box.toNode()] : []));
  const { children } = whole;
  const shapes = new Map(tensors.map(({ name, shape }) => [name, shape]));
  const within = edgesWithin(children.filter(isGroup), edges);
  const folded = foldItems(children, (block) =>
    blockSignature(block, within.get(block.id) ?? [], shapes),
  );
  return {
    source: 'architecture',
    items: [...inputs, ...folded],
    edges: [...edges, ...shared],
    omitted: 0,
  };
}

/** Edges from the embedding to a head that reads the same tensor. */
function shareTensors(boxes: readonly Box[]): Flow['edges'] {
  return boxes.flatMap((head) => {
    const embedding = boxes.find(
      ({ name, tensors }) =>
        name === 'embedding' && [...tensors].some((tensor) => head.tensors.has(tensor)),
    );
    if (head.name !== 'head' || embedding === undefined) {
      return [];
    }
    head.detail = say`shares the embedding`;
    return [{ from: embedding.id, to: head.id, shared: true }];
  });
}

function sublayerFrame(
  model: ModuleModel,
  sublayer: Sublayer | StagedSublayer,
  index: number,
): Frame {
  const { id } = sublayer;
  const kind = 'summaryKind' in sublayer ? sublayer.summaryKind : sublayer.kind;
  const label = sublayerLabels[kind] ?? verbatim(kind);
  if (!('summaryKind' in sublayer)) {
    return new Frame(id, 'sublayer', label);
  }
  return new Frame(id, 'sublayer', label, sublayer.detail, stepDetails(model, sublayer, index));
}

/** Details of the steps in a sublayer. */
function stepDetails(model: ModuleModel, sublayer: Sublayer, index: number): Frame['details'] {
  if (sublayer.kind !== 'attention') {
    return { choose: sublayer.detail };
  }
  const rotary = rotatedDimensions(model, sublayer);
  const numbers = sublayer.cachedNumbers;
  const { headDim } = sublayer.shape;
  return {
    attention: describeScores(model, sublayer, index),
    rotate: rotary === undefined ? undefined : say`rotary, ${rotary} of ${headDim} dimensions`,
    cache: numbers === undefined ? undefined : say`${numbers} numbers per token`,
  };
}

function describeScores(
  model: ModuleModel,
  { detail, isCross, shape, slidingWindow, weights }: Attention,
  index: number,
): Message {
  const isCausal = !isCross && seesPast(model, index);
  const labels = (weights.parts ?? []).flatMap(({ label = [] }) => label);
  const seen =
    slidingWindow === undefined
      ? isCausal
        ? say`causal`
        : say`sees all`
      : say`window of ${slidingWindow}`;
  const isBiased = !isCross && isBiasedByDistance(model, index);
  return listed([
    ...([detail, seen] as const),
    ...(shape.softCap === undefined ? [] : [say`soft cap ${shape.softCap}`]),
    ...labels,
    ...(isBiased ? [say`bias by distance`] : []),
  ]);
}

/** True if tokens attend only to those before them. */
function seesPast(model: ModuleModel, index: number): boolean {
  switch (model.kind) {
    case 'decoder':
      return true;
    case 'encoder':
      return model.layout.causal;
    case 'encoder-decoder':
      return !model.isInEncoder(index);
    case 'stages':
      return false;
  }
}

/** True if distances that all blocks share bias the scores of a sublayer. */
function isBiasedByDistance(model: ModuleModel, index: number): boolean {
  switch (model.kind) {
    case 'decoder':
      return model.layout.slopes !== undefined;
    case 'encoder': {
      const { slopes, distanceBias } = model.layout;
      return (slopes ?? distanceBias) !== undefined;
    }
    case 'encoder-decoder':
      return model.towerAt(index).distanceBias !== undefined;
    case 'stages':
      return false;
  }
}

/** Number of dimensions of a head that are rotated. */
function rotatedDimensions({ layout }: ModuleModel, { rotary }: Attention): number | undefined {
  return rotary !== undefined && 'rotaries' in layout
    ? layout.rotaries.get(rotary)?.dimensions
    : undefined;
}
