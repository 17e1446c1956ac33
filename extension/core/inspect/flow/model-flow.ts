import { counted, listed, say, verbatim } from '../../message';
import type { Message } from '../../message';
import type { EncoderModel } from '../../models/encoders/encoder-model';
import type { SublayerCache } from '../../models/model-emitter';
import { stream } from '../../models/model-emitter';
import type { Attention } from '../../models/modules/attention';
import type { Mixer } from '../../models/modules/mixer';
import type { Sublayer } from '../../models/modules/sublayer-list';
import type { Seq2SeqModel } from '../../models/seq2seq/seq2seq-model';
import { declareInputs } from '../../models/transformer/tapped-part';
import type { StagedModel } from '../../models/stages/staged-model';
import type { StagedSublayer } from '../../models/stages/staged-sublayer';
import type { TransformerModel } from '../../models/transformer/transformer-model';
import type { StoredTensor } from '../model-description';
import { Box, DrawnGraph, Frame } from './drawn-graph';
import { blockLabel, isGroup } from './flow-document';
import type { Flow } from './flow-document';
import { foldItems } from './fold-blocks';
import { edgesWithin, blockSignature } from './signature';
import { sublayerLabels } from './step-labels';
import { StoredNames } from './stored-names';

type ModuleModel = TransformerModel | EncoderModel | Seq2SeqModel | StagedModel;

/** The flow of a model that is made of modules: what it emits, drawn. */
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
  const { detail, details } = 'summaryKind' in sublayer ? describe(model, sublayer, index) : {};
  return new Frame(id, 'sublayer', label, detail, details);
}

/** Details of a sublayer, and of the steps in it. */
function describe(
  model: ModuleModel,
  sublayer: Sublayer,
  index: number,
): { readonly detail?: Message; readonly details?: Readonly<Record<string, Message>> } {
  switch (sublayer.kind) {
    case 'attention': {
      const detail = describeHeads(sublayer);
      const attention = describeScores(model, sublayer, index, detail);
      const rotary = rotatedDimensions(model, sublayer);
      const { headDim } = sublayer.shape;
      const numbers = sublayer.cachedNumbers;
      return {
        detail,
        details: {
          attention,
          ...(rotary === undefined
            ? {}
            : { rotate: say`rotary, ${rotary} of ${headDim} dimensions` }),
          ...(numbers === undefined ? {} : { cache: say`${numbers} numbers per token` }),
        },
      };
    }
    case 'expert': {
      const { perToken, count } = sublayer.shape;
      const detail = say`${perToken} of ${count} per token`;
      return { detail, details: { choose: detail } };
    }
    case 'mixer':
      return { detail: mixerLabels[sublayer.shape.form.kind] };
    case 'patch':
      return { detail: verbatim(sublayer.patch.program) };
    case 'feedforward':
      return {};
  }
}

const mixerLabels: Readonly<Record<Mixer['shape']['form']['kind'], Message>> = {
  'short-convolution': say`Short convolution`,
  'delta-rule': say`Gated delta rule`,
  'state-space': say`State space (Mamba-2)`,
  'selective-scan': say`Selective scan (Mamba)`,
  lightning: say`Lightning attention`,
  'gated-recurrence': say`Gated recurrence (RG-LRU)`,
};

function describeHeads({ shape: { numHeads, numKeyValueHeads, headDim } }: Attention): Message {
  return numKeyValueHeads === numHeads
    ? say`${counted(numHeads, 'head')} × ${headDim}`
    : say`${counted(numHeads, 'head')} × ${headDim} in ${counted(numKeyValueHeads, 'group')}`;
}

function describeScores(
  model: ModuleModel,
  { isCross, shape, slidingWindow, weights }: Attention,
  index: number,
  heads: Message,
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
    ...([heads, seen] as const),
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
