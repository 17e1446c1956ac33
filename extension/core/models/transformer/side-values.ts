import { emitLength } from '../../onnx/emit-length';
import { DataType } from '../../onnx/graph-builder';
import type { Dimension, GraphBuilder, Value } from '../../onnx/graph-builder';
import type { ModelInputs, SideValue, Values } from '../model-emitter';
import type { AttentionSide } from '../parts/attention';
import { endSides, perLayerName } from '../parts/block-end';
import { emitCausalMask, emitWholeMask } from '../parts/causal-mask';
import type { DistanceBias } from '../parts/distance-bias';
import { readsStarts } from '../parts/mixers/mixer-form';
import { emitQueryGrowth } from '../parts/query-growth';
import { emitRotaryTables } from '../parts/rotary';
import type { TransformerLayout } from './transformer-layout';
import type { TransformerSublayer } from './transformer-sublayer';

/** What a layout's side values depend on. */
export interface Sided
  extends
    Pick<TransformerLayout, 'rotaries' | 'sublayers'>,
    Partial<
      Pick<TransformerLayout, 'slopes' | 'queryGrowth' | 'mixer' | 'perLayer' | 'attention'>
    > {
  /** Whether tokens see those behind them too. */
  readonly seesWhole?: boolean;
  readonly distanceBias?: DistanceBias | undefined;
}
type Attention = Extract<TransformerSublayer, { readonly kind: 'attention' }>;

/** Factor by which queries grow. */
const growthName = 'growth';

/** What the embedding gives, which shared transformers read beside the stream. */
export const embeddedName = 'embedded';

const readsEmbedded = (sublayer: TransformerSublayer): boolean =>
  sublayer.kind === 'attention' && sublayer.weights.shared !== undefined;

/** Ids of the tokens, by which tables choose experts. */
export const idsName = 'ids';

const readsIds = (sublayer: TransformerSublayer): boolean =>
  sublayer.kind === 'expert' && sublayer.weights.byToken !== undefined;

/** Positions of the tokens, by which it is known which compressed runs have ended. */
const positionsName = 'positions';

const readsPositions = (sublayer: TransformerSublayer): boolean =>
  sublayer.kind === 'attention' && sublayer.weights.compressed?.compressor !== undefined;

/** Whether what the embedding gives is a side value. */
export const givesEmbedded = ({ sublayers }: Sided): boolean => sublayers.some(readsEmbedded);

/** Whether side values depend on the tokens. */
export const sidesDependOnTokens = ({ perLayer, sublayers }: Sided): boolean =>
  perLayer !== undefined || sublayers.some((one) => readsEmbedded(one) || readsIds(one));

/** 1 for each token, 0 for padding, as mixers read it. */
export const tokensName = 'tokens';

/** 1 for the first token of a text, 0 for others. */
export const startsName = 'starts';

const mixerSides = ({ mixer }: Sided): string[] =>
  mixer === undefined ? [] : [tokensName, ...(readsStarts(mixer.form) ? [startsName] : [])];

/** Every side value of a model: tables of rotary embeddings, growth of queries, masks, what tokens bring to ends of blocks. */
export function sideValuesOf(layout: Sided): SideValue[] {
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
  const masks = [...windowsOf(layout)].map((window) => ({
    name: maskName(window),
    shape: maskShape(layout, window),
  }));
  const perLayer = layout.perLayer;
  const brought = Array.from({ length: perLayer?.blocks ?? 0 }, (_, block) => ({
    name: perLayerName(block),
    shape: ['side_batch', 'sequence', perLayer?.width ?? 0],
  }));
  const mixed = mixerSides(layout).map((name) => ({ name, shape: ['side_batch', 'sequence', 1] }));
  const embedded = givesEmbedded(layout)
    ? [{ name: embeddedName, shape: ['side_batch', 'sequence', layout.attention?.hiddenSize ?? 0] }]
    : [];
  const numbers = [
    ...(layout.sublayers.some(readsIds) ? [idsName] : []),
    ...(layout.sublayers.some(readsPositions) ? [positionsName] : []),
  ].map((name) => ({ name, shape: ['side_batch', 'sequence', 1] }));
  return [...tables, ...growth, ...masks, ...mixed, ...brought, ...embedded, ...numbers];
}

/** Names of those that a sublayer needs. */
export function sideNamesOf(layout: Sided, sublayer: TransformerSublayer): string[] {
  const ends = endSides(sublayer.ends);
  if (sublayer.kind !== 'attention') {
    const ids = readsIds(sublayer) ? [idsName] : [];
    return [...(sublayer.kind === 'mixer' ? mixerSides(layout) : ids), ...ends];
  }
  const tables = sublayer.rotary === undefined ? [] : tableNames(sublayer.rotary);
  const growth = grows(layout, sublayer) ? [growthName] : [];
  const embedded = readsEmbedded(sublayer) ? [embeddedName] : [];
  const positions = readsPositions(sublayer) ? [positionsName] : [];
  const mask = maskName(sublayer.slidingWindow);
  return [...tables, ...growth, mask, ...embedded, ...positions, ...ends];
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
  for (const window of windowsOf(layout)) {
    side[maskName(window)] =
      layout.seesWhole === true
        ? emitWholeMask(graph, inputs.attentionMask, window, layout.distanceBias, layout.slopes)
        : emitCausalMask(graph, inputs, window, layout.slopes);
  }
  if (layout.mixer !== undefined) {
    const floats = graph.op('Cast', [emitOwnMask(graph, inputs)], { to: DataType.FLOAT });
    side[tokensName] = graph.op('Unsqueeze', [floats, graph.ints([2])]);
    if (readsStarts(layout.mixer.form)) {
      const first = graph.op('Equal', [inputs.positionIds, graph.ints([0])]);
      const numbers = graph.op('Cast', [first], { to: DataType.FLOAT });
      side[startsName] = graph.op('Unsqueeze', [numbers, graph.ints([2])]);
    }
  }
  const asColumn = (numbers: Value): Value =>
    graph.op('Unsqueeze', [graph.op('Cast', [numbers], { to: DataType.FLOAT }), graph.ints([2])]);
  if (layout.sublayers.some(readsIds)) {
    side[idsName] = asColumn(inputs.inputIds);
  }
  if (layout.sublayers.some(readsPositions)) {
    side[positionsName] = asColumn(inputs.positionIds);
  }
  return side;
}

/** The attention mask of this sequence alone, without the positions in front of it: [batch, sequence]. */
function emitOwnMask(graph: GraphBuilder, { attentionMask, inputIds }: ModelInputs): Value {
  const lengthOf = (x: Value): Value => emitLength(graph, x, 1);
  const total = lengthOf(attentionMask);
  const past = graph.op('Sub', [total, lengthOf(inputIds)]);
  return graph.op('Slice', [attentionMask, past, total, graph.ints([1])]);
}

/** Whether the queries of a sublayer grow with their position. */
function grows({ queryGrowth }: Sided, { rotary }: Attention): boolean {
  return queryGrowth !== undefined && (queryGrowth.isOfUnturned !== true || rotary === undefined);
}

/** What an attention sublayer reads of them. */
export function attentionSide(layout: Sided, sublayer: Attention, side: Values): AttentionSide {
  const { [maskName(sublayer.slidingWindow)]: mask = '', [growthName]: queryScale } = side;
  const key = sublayer.rotary ?? '';
  const [cosName, sinName] = tableNames(key);
  const { [cosName]: cos = '', [sinName]: sin = '' } = side;
  const rotary = sublayer.rotary === undefined ? undefined : layout.rotaries.get(key);
  return {
    mask,
    ...(rotary === undefined ? {} : { rotation: { rotary, cos, sin } }),
    ...(queryScale === undefined || !grows(layout, sublayer) ? {} : { queryScale }),
    ...(readsEmbedded(sublayer) ? { embedded: side[embeddedName] ?? '' } : {}),
    ...(readsPositions(sublayer) ? { positions: side[positionsName] ?? '' } : {}),
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

function windowsOf({ sublayers }: Sided): Set<number | undefined> {
  return new Set(
    sublayers.flatMap((sublayer) =>
      sublayer.kind === 'attention' ? [sublayer.slidingWindow] : [],
    ),
  );
}

/** Names of the tables of one rotary embedding. */
function tableNames(key: string): readonly [cos: string, sin: string] {
  return key === '' ? ['cos', 'sin'] : [`cos.${key}`, `sin.${key}`];
}

function maskName(window: number | undefined): string {
  return window === undefined ? 'mask' : `mask.window.${window}`;
}
