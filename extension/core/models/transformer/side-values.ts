import { emitLength } from '../../onnx/emit-sequence';
import { DataType } from '../../onnx/graph-builder';
import type { Dimension, GraphBuilder, Value } from '../../onnx/graph-builder';
import type { ModelInputs, SideValue, Values } from '../model-emitter';
import { mixerSides } from '../modules/mixer';
import type { AttentionReach, SideInputs, SpecialSide } from '../modules/sublayer';
import type { Sublayer } from '../modules/sublayer-list';
import { endSides, perLayerName } from '../parts/block-end';
import { emitCausalMask, emitWholeMask } from '../parts/causal-mask';
import type { DistanceBias } from '../parts/distance-bias';
import type { QueryGrowth } from './architecture';
import { emitRotaryTables } from '../parts/rotary';
import type { TransformerLayout } from './transformer-layout';

/** Parts of a layout that determine its side values. */
export interface Sided
  extends
    Pick<TransformerLayout, 'rotaries' | 'sublayers'>,
    Partial<
      Pick<TransformerLayout, 'slopes' | 'queryGrowth' | 'mixer' | 'perLayer' | 'attention'>
    > {
  /** True if attention is bidirectional. */
  readonly seesWhole?: boolean;
  readonly distanceBias?: DistanceBias | undefined;
}

/** Name of the factor on queries that grows with their position. */
const growthName = 'growth';

const readsSide = ({ sublayers }: Sided, side: SpecialSide): boolean =>
  sublayers.some(({ specialSides }) => specialSides.includes(side));

/** True if the embedding's output is a side value. */
export const givesEmbedded = (layout: Sided): boolean => readsSide(layout, 'embedded');

/** True if side values depend on the tokens. */
export const sidesDependOnTokens = (layout: Sided): boolean =>
  layout.perLayer !== undefined || givesEmbedded(layout) || readsSide(layout, 'ids');

const allMixerSides = ({ mixer }: Sided): SpecialSide[] =>
  mixer === undefined ? [] : mixerSides(mixer);

/** All side values of a model: rotary tables, query growth, masks, per-layer embeddings. */
export function listSideValues(layout: Sided): SideValue[] {
  const tables = [...layout.rotaries].flatMap(([key, { dimensions }]) =>
    tableNames(key).map((name) => ({
      name,
      shape: ['side_batch', 1, 'sequence', dimensions / 2],
    })),
  );
  const growth =
    layout.queryGrowth === undefined
      ? []
      : [{ name: growthName, shape: ['side_batch', 1, 'sequence', 1] }];
  const masks = [...attentionWindows(layout)].map((window) => ({
    name: maskName(window),
    shape: maskShape(layout, window),
  }));
  const perLayer = layout.perLayer;
  const brought = Array.from({ length: perLayer?.blocks ?? 0 }, (_, block) => ({
    name: perLayerName(block),
    shape: ['side_batch', 'sequence', perLayer?.width ?? 0],
  }));
  const mixed = allMixerSides(layout).map((name) => ({
    name,
    shape: ['side_batch', 'sequence', 1],
  }));
  const embedded = givesEmbedded(layout)
    ? [{ name: 'embedded', shape: ['side_batch', 'sequence', layout.attention?.hiddenSize ?? 0] }]
    : [];
  const read = (['ids', 'positions'] as const).filter((side) => readsSide(layout, side));
  const numbers = read.map((name) => ({ name, shape: ['side_batch', 'sequence', 1] }));
  return [...tables, ...growth, ...masks, ...mixed, ...brought, ...embedded, ...numbers];
}

/** Names of the side values that a sublayer reads. */
export function sideNames(layout: Sided, sublayer: Sublayer): string[] {
  const own = [...sublayer.specialSides, ...endSides(sublayer.ends)];
  const { reach } = sublayer;
  if (reach === undefined) {
    return own;
  }
  const tables = reach.rotary === undefined ? [] : tableNames(reach.rotary);
  const growth = grows(layout, reach) ? [growthName] : [];
  return [...tables, ...growth, maskName(reach.slidingWindow), ...own];
}

/** Emits all of them, by name. */
export function emitSides(
  graph: GraphBuilder,
  layout: Sided,
  inputs: ModelInputs,
): Record<string, Value> {
  const side: Record<string, Value> = {};
  for (const [key, rotary] of layout.rotaries) {
    const [cosName, sinName] = tableNames(key);
    const { cos, sin } = emitRotaryTables(graph, rotary, inputs.positionIds);
    side[cosName] = cos;
    side[sinName] = sin;
  }
  if (layout.queryGrowth !== undefined) {
    side[growthName] = emitQueryGrowth(graph, layout.queryGrowth, inputs.positionIds);
  }
  for (const window of attentionWindows(layout)) {
    side[maskName(window)] =
      layout.seesWhole === true
        ? emitWholeMask(graph, inputs.attentionMask, window, layout.distanceBias, layout.slopes)
        : emitCausalMask(graph, inputs, window, layout.slopes);
  }
  if (layout.mixer !== undefined) {
    const floats = graph.op('Cast', [emitOwnMask(graph, inputs)], { to: DataType.FLOAT });
    side['tokens'] = graph.op('Unsqueeze', [floats, graph.ints([2])]);
    if (mixerSides(layout.mixer).includes('starts')) {
      const first = graph.op('Equal', [inputs.positionIds, graph.ints([0])]);
      const numbers = graph.op('Cast', [first], { to: DataType.FLOAT });
      side['starts'] = graph.op('Unsqueeze', [numbers, graph.ints([2])]);
    }
  }
  if (readsSide(layout, 'positions')) {
    side['positions'] = emitColumn(graph, inputs.positionIds);
  }
  return side;
}

/** Emits the ids of the tokens as a side value, if a sublayer reads them. */
export const emitIds = (graph: GraphBuilder, layout: Sided, { inputIds }: ModelInputs): Values =>
  readsSide(layout, 'ids') ? { ids: emitColumn(graph, inputIds) } : {};

const emitColumn = (graph: GraphBuilder, numbers: Value): Value =>
  graph.op('Unsqueeze', [graph.op('Cast', [numbers], { to: DataType.FLOAT }), graph.ints([2])]);

/** Attention mask of this sequence without cached positions: [batch, sequence]. */
function emitOwnMask(graph: GraphBuilder, { attentionMask, inputIds }: ModelInputs): Value {
  const sequenceLength = (x: Value): Value => emitLength(graph, x, 1);
  const total = sequenceLength(attentionMask);
  const past = graph.op('Sub', [total, sequenceLength(inputIds)]);
  return graph.op('Slice', [attentionMask, past, total, graph.ints([1])]);
}

/** True if the queries of a sublayer are scaled by their position. */
function grows({ queryGrowth }: Sided, { rotary }: AttentionReach): boolean {
  return queryGrowth !== undefined && (queryGrowth.onlyUnrotated !== true || rotary === undefined);
}

/** Returns the side values that a sublayer reads. */
export function sideInputs(layout: Sided, sublayer: Sublayer, side: Values): SideInputs {
  const special = Object.fromEntries(
    sublayer.specialSides.flatMap((name) => (side[name] === undefined ? [] : [[name, side[name]]])),
  );
  const { reach } = sublayer;
  if (reach === undefined) {
    return special;
  }
  const { [maskName(reach.slidingWindow)]: mask = '', [growthName]: queryScale } = side;
  const key = reach.rotary ?? '';
  const [cosName, sinName] = tableNames(key);
  const { [cosName]: cos = '', [sinName]: sin = '' } = side;
  const rotary = reach.rotary === undefined ? undefined : layout.rotaries.get(key);
  return {
    ...special,
    mask,
    ...(rotary === undefined ? {} : { rotation: { rotary, cos, sin } }),
    ...(queryScale === undefined || !grows(layout, reach) ? {} : { queryScale }),
  };
}

function maskShape({ seesWhole, slopes, distanceBias }: Sided, window?: number): Dimension[] {
  if (seesWhole !== true) {
    return ['side_batch', slopes?.length ?? 1, 'sequence', 'total'];
  }
  const heads = distanceBias?.table.shape[1] ?? slopes?.length;
  return heads === undefined
    ? ['side_batch', 1, window === undefined ? 1 : 'sequence', 'sequence']
    : ['side_batch', heads, 'sequence', 'sequence'];
}

function attentionWindows({ sublayers }: Sided): Set<number | undefined> {
  return new Set(
    sublayers.flatMap(({ reach }) => (reach === undefined ? [] : [reach.slidingWindow])),
  );
}

/** Names of the tables of one rotary embedding. */
function tableNames(key: string): readonly [cos: string, sin: string] {
  return key === '' ? ['cos', 'sin'] : [`cos.${key}`, `sin.${key}`];
}

function maskName(window: number | undefined): string {
  return window === undefined ? 'mask' : `mask.window.${window}`;
}

/** Emits the factor on queries at `positionIds` [batch, sequence] (int64): [batch, 1, sequence, 1]. */
function emitQueryGrowth(
  graph: GraphBuilder,
  { scale, period, offset }: QueryGrowth,
  positionIds: Value,
): Value {
  const positions = graph.op('Cast', [positionIds], { to: DataType.FLOAT });
  const shifted = graph.op('Add', [positions, graph.scalar(offset)]);
  const periods = graph.op('Floor', [graph.op('Div', [shifted, graph.scalar(period)])]);
  const logarithm = graph.op('Log', [graph.op('Add', [periods, graph.scalar(1)])]);
  const factor = graph.op('Add', [
    graph.op('Mul', [logarithm, graph.scalar(scale)]),
    graph.scalar(1),
  ]);
  return graph.op('Unsqueeze', [factor, graph.ints([1, 3])]);
}
