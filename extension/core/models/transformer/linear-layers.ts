import { createHash } from 'node:crypto';
import { storedParts } from '../../checkpoints/lazy-tensor';
import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import { UserError } from '../../user-error';
import type { OthersKeys } from '../parts/attention';
import type { Expert, ExpertWeights } from '../parts/experts';
import type { FeedforwardShape, FeedforwardWeights } from '../parts/feedforward';
import { checkForm } from '../forms/check-form';
import { eightBitError, formTensors, mapTensors, roundsInputs } from '../forms/form-facts';
import type { Linear } from '../parts/linear';
import type { LinearLayer, LinearRole, MatrixEncoding, OuterMatrix } from '../matrix-encoding';
import type { ModelSummary } from '../model-summary';
import {
  checkOuterForm,
  hasTiedHead,
  outerMatricesOf,
  outerTensors,
  withOuterForms,
} from './outer-matrices';
import type { OuterLinears } from './outer-matrices';
import { sublayerLinears, sublayerTensors } from './sublayer-tensors';
import { summarizeOuter, summarizeSublayers } from '../summarize';
import type { SummarizedLayout } from '../summarize';
import type { TransformerSublayer } from './transformer-sublayer';
import { say } from '../../message';

/** The linear layers of a sublayer, in order; routers of mixtures and layers of groups stay as they are. */
export function linearLayersOf(
  sublayer: TransformerSublayer,
  index: number,
  gated: boolean,
): LinearLayer[] {
  const whole = withRoles(sublayer, gated).filter(([, { groups }]) => groups === undefined);
  return whole.map(([role, { weight, transposed = false, form }, of]) => {
    const [rows = 0, columns = 0] = weight.shape;
    const [out, input] = transposed ? [columns, rows] : [rows, columns];
    const sizes = { out, in: input };
    const stored = { weight, transposed, ...(form === undefined ? {} : { form }) };
    const expert = expertOf(sublayer, of);
    return { id: weight.name, sublayer: index, role, ...sizes, ...stored, ...expert };
  });
}

/** Which expert a layer belongs to; nothing for the one that every token is sent to. */
function expertOf(
  sublayer: TransformerSublayer,
  index: number | undefined,
): Pick<LinearLayer, 'expert'> {
  if (sublayer.kind !== 'expert' || index === undefined) {
    return {};
  }
  const { count, perToken } = sublayer.shape;
  return index < count ? { expert: { index, share: perToken / count } } : {};
}

/** A layer, what it does, and the number of the expert that it belongs to. */
type InRole = readonly [role: LinearRole, linear: Linear, expert?: number];

function withRoles(sublayer: TransformerSublayer, gated: boolean): InRole[] {
  switch (sublayer.kind) {
    case 'attention': {
      const { queryKeyValue, latentNorms, output, gate, othersKeys, shared } = sublayer.weights;
      if (shared !== undefined) {
        // The others are other blocks' too.
        return [['output', output]];
      }
      const roles = latentNorms === undefined ? (['query', 'key', 'value'] as const) : [];
      const isFused = queryKeyValue.length === 1 && othersKeys === undefined;
      return [
        ...queryKeyValue.map((linear, i): [LinearRole, Linear] => [
          isFused ? 'query-key-value' : (roles[i] ?? 'other'),
          linear,
        ]),
        ...ownKeys(othersKeys).map((linear, i): [LinearRole, Linear] => [
          i === 0 ? 'key' : 'value',
          linear,
        ]),
        ...(gate === undefined ? [] : [['other', gate] as [LinearRole, Linear]]),
        ['output', output],
      ];
    }
    case 'mixer': {
      const { linears } = sublayer.weights;
      return linears.map((linear, i) => [i === linears.length - 1 ? 'output' : 'other', linear]);
    }
    case 'feedforward':
      return feedforwardRoles(sublayer.weights, gated);
    case 'expert':
      return expertsOf(sublayer.weights).flatMap((expert, index) =>
        feedforwardRoles(expert, gated).map(([role, linear]): InRole => [role, linear, index]),
      );
    case 'patch':
      return [];
  }
}

/** What makes keys and values of an encoder's stream; what makes them of another block's belongs to that. */
const ownKeys = (keys: OthersKeys | undefined): readonly Linear[] =>
  keys === undefined || keys.block !== undefined ? [] : keys.keyValue;

/** The experts, and the one that every token is sent to. */
const expertsOf = ({ experts, shared }: ExpertWeights): readonly Expert[] =>
  shared === undefined ? experts : [...experts, shared];

function feedforwardRoles(
  { gateUp, down }: Pick<FeedforwardWeights, 'gateUp' | 'down'>,
  gated: boolean,
): [LinearRole, Linear][] {
  const [first, second] = gateUp;
  const inner: [LinearRole, Linear | undefined][] =
    second === undefined
      ? [[gated ? 'gate-up' : 'up', first]]
      : [
          ['gate', first],
          ['up', second],
        ];
  const all: typeof inner = [...inner, ['down', down]];
  return all.flatMap(([role, linear]) => (linear === undefined ? [] : [[role, linear]]));
}

/** A layout, some of whose matrices are to take another form. */
type Layout = SummarizedLayout & {
  readonly feedforward: FeedforwardShape;
  readonly outer: OuterLinears;
};

/** A layout with other forms, and what it amounts to. */
interface FormedLayout {
  readonly summary: ModelSummary;
  readonly sublayers: readonly TransformerSublayer[];
  readonly outer: OuterLinears;
}

/**
 * The sublayers, embedding and head with these forms of their matrices, by id.
 * @throws UserError where a form does not fit, or there is no such matrix.
 */
export function withForms(
  summary: ModelSummary,
  layout: Layout,
  forms: ReadonlyMap<string, MatrixEncoding>,
): FormedLayout {
  const { sublayers, feedforward } = layout;
  const layers = sublayers.flatMap((sublayer, index) =>
    linearLayersOf(sublayer, index, feedforward.gated),
  );
  requireLayers([...layers, ...outerMatricesOf(layout.outer)], forms, summary.path);
  const outer = withOuterForms(layout.outer, forms);
  const changed = sublayers.map((sublayer) =>
    mapLinears(sublayer, (linear) => {
      const form = forms.get(linear.weight.name);
      return form === undefined ? linear : { ...linear, form };
    }),
  );
  return { sublayers: changed, outer, summary: withCosts(summary, layout, changed, outer, forms) };
}

/** @throws UserError for forms of layers that there are not, or that do not fit. */
export function requireLayers(
  layers: readonly (LinearLayer | OuterMatrix)[],
  forms: ReadonlyMap<string, MatrixEncoding>,
  file: string,
): void {
  const known = new Map(layers.map((layer) => [layer.id, layer]));
  for (const [id, form] of forms) {
    const layer = known.get(id);
    if (layer === undefined) {
      throw new UserError(say`The model has no linear layer of this name.`, {
        file,
        field: id,
        remedy: say`Open the model in the explorer to see its parts.`,
      });
    }
    if ('place' in layer) {
      checkOuterForm(form, layer);
    } else {
      checkForm(form, layer);
    }
  }
}

function mapLinears(
  sublayer: TransformerSublayer,
  map: (linear: Linear) => Linear,
): TransformerSublayer {
  switch (sublayer.kind) {
    case 'attention': {
      const { queryKeyValue, output, gate, othersKeys } = sublayer.weights;
      const changed = {
        ...(othersKeys === undefined
          ? {}
          : { othersKeys: { ...othersKeys, keyValue: othersKeys.keyValue.map(map) } }),
        queryKeyValue: queryKeyValue.map(map),
        output: map(output),
        ...(gate === undefined ? {} : { gate: map(gate) }),
      };
      return { ...sublayer, weights: { ...sublayer.weights, ...changed } };
    }
    case 'mixer': {
      const linears = sublayer.weights.linears.map(map);
      return { ...sublayer, weights: { ...sublayer.weights, linears } };
    }
    case 'feedforward':
      return { ...sublayer, weights: { ...sublayer.weights, ...mapInner(sublayer.weights, map) } };
    case 'expert': {
      const { shared } = sublayer.weights;
      const changed = {
        experts: sublayer.weights.experts.map((expert) => mapInner(expert, map)),
        ...(shared === undefined ? {} : { shared: { ...shared, ...mapInner(shared, map) } }),
      };
      return { ...sublayer, weights: { ...sublayer.weights, ...changed } };
    }
    case 'patch':
      return sublayer;
  }
}

function mapInner({ gateUp, down }: Expert, map: (linear: Linear) => Linear): Expert {
  return { gateUp: gateUp.map(map), down: map(down) };
}

/** `roundingError` of a layered model whose only roundings are those of its forms; looking rows up rounds nothing. */
export function roundingOfForms(
  sublayers: readonly TransformerSublayer[],
  { heads }: OuterLinears,
): number | undefined {
  const linears = [...sublayers.flatMap(sublayerLinears), ...heads.map(({ linear }) => linear)];
  const forms = linears.flatMap(({ form }) => form ?? []);
  return forms.some(roundsInputs) ? eightBitError : undefined;
}

/** The files of a model and of its forms. */
export function withFormFiles(
  files: readonly string[],
  forms: ReadonlyMap<string, MatrixEncoding>,
): readonly string[] {
  const added = [...forms.values()].flatMap((form) => formTensors(form).map(({ file }) => file));
  return [...new Set([...files, ...added])];
}

/** What the model costs with other sublayers, embedding and head; caches stay as they are. */
function withCosts(
  summary: ModelSummary,
  layout: Layout,
  changed: readonly TransformerSublayer[],
  outer: OuterLinears,
  forms: ReadonlyMap<string, MatrixEncoding>,
): ModelSummary {
  const before = summarizeSublayers(layout);
  const after = summarizeSublayers({ ...layout, sublayers: changed });
  const [outerBefore, outerAfter] = [summarizeOuter(layout.outer), summarizeOuter(outer)];
  const grown = (cost: 'parameters' | 'bytes'): number =>
    after.reduce(
      (sum, sublayer, i) => sum + sublayer[cost] - (before[i]?.[cost] ?? 0),
      outerAfter[cost] - outerBefore[cost],
    );
  const tensorsOf = (sublayers: readonly TransformerSublayer[], outside: OuterLinears) => [
    ...sublayers.flatMap((one) => sublayerTensors(one)),
    ...outerTensors(outside),
  ];
  return {
    ...summary,
    parameters: summary.parameters + grown('parameters'),
    bytes: summary.bytes + grown('bytes'),
    ...(summary.tiedHead === undefined ? {} : { tiedHead: hasTiedHead(outer) }),
    dtypes: dtypesWith(
      summary.dtypes,
      tensorsOf(layout.sublayers, layout.outer),
      tensorsOf(changed, outer),
    ),
    sublayers: summary.sublayers.map((sublayer, i) => ({
      ...sublayer,
      ...after[i],
      kvBytesPerToken: sublayer.kvBytesPerToken,
    })),
    fingerprint: fingerprintForms(summary.fingerprint, forms),
  };
}

/** Bytes of each element type with other tensors, the packed ones being made of others. */
export function dtypesWith(
  dtypes: ModelSummary['dtypes'],
  before: readonly LazyTensor[],
  after: readonly LazyTensor[],
): Record<string, number> {
  const bytes: Record<string, number> = { ...dtypes };
  const count = (tensors: readonly LazyTensor[], sign: 1 | -1): void => {
    for (const { dtype, length } of new Set(tensors.flatMap(storedParts))) {
      bytes[dtype] = (bytes[dtype] ?? 0) + sign * length;
    }
  };
  count(before, -1);
  count(after, 1);
  return Object.fromEntries(Object.entries(bytes).filter(([, count]) => count > 0));
}

/** Tells models apart by which layers have which forms, not by the numbers in them. */
export function fingerprintForms(
  fingerprint: string,
  forms: ReadonlyMap<string, MatrixEncoding>,
): string {
  const described = [...forms]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([id, form]) => [id, mapTensors(form, ({ dtype, shape }) => ({ dtype, shape }))]);
  return createHash('sha256').update(fingerprint).update(JSON.stringify(described)).digest('hex');
}
