import { storedParts } from '../../checkpoints/lazy-tensor';
import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import { UserError } from '../../user-error';
import { checkEncoding } from '../encodings/check-encoding';
import { encodingTensors, mapTensors } from '../encodings/encoding-facts';
import { fingerprintChanges } from '../fingerprint';
import type { LinearLayer, MatrixEncoding, EmbeddingOrHead } from '../matrix-encoding';
import type { ModelSummary } from '../model-summary';
import {
  checkEmbeddingOrHeadEncoding,
  hasTiedHead,
  describeEmbeddingAndHead,
  embeddingAndHeadTensors,
  withEmbeddingAndHeadEncodings,
} from './embedding-and-head';
import type { EmbeddingAndHead } from './embedding-and-head';
import { summarizeEmbeddingAndHead, summarizeSublayers } from '../summarize';
import type { SummarizedLayout } from '../summarize';
import type { Sublayer } from '../modules/sublayer-list';
import { say } from '../../message';

/** A layout whose linear layers can change their encoding. */
type Layout = SummarizedLayout & { readonly embeddingAndHead: EmbeddingAndHead };

/** A layout after its encodings were changed, with updated costs. */
interface FormedLayout {
  readonly summary: ModelSummary;
  readonly sublayers: readonly Sublayer[];
  readonly embeddingAndHead: EmbeddingAndHead;
}

/**
 * Sublayers, embedding and head with new encodings, by matrix id.
 * @throws UserError if an encoding doesn't fit, or a matrix doesn't exist
 */
export function withEncodings(
  summary: ModelSummary,
  layout: Layout,
  forms: ReadonlyMap<string, MatrixEncoding>,
): FormedLayout {
  const { sublayers } = layout;
  const layers = sublayers.flatMap((sublayer, index) => [
    ...sublayer.linearLayers(index),
    ...sublayer.routerLayers(index),
  ]);
  requireLayers(
    [...layers, ...describeEmbeddingAndHead(layout.embeddingAndHead)],
    forms,
    summary.path,
  );
  const embeddingAndHead = withEmbeddingAndHeadEncodings(layout.embeddingAndHead, forms);
  const changed = sublayers.map((sublayer) =>
    sublayer.mapLinears((linear) => {
      const encoding = forms.get(linear.weight.name);
      return encoding === undefined ? linear : { ...linear, encoding };
    }),
  );
  return {
    sublayers: changed,
    embeddingAndHead,
    summary: withCosts(summary, layout, changed, embeddingAndHead, forms),
  };
}

/** @throws UserError if an encoding doesn't fit, or a layer doesn't exist */
export function requireLayers(
  layers: readonly (LinearLayer | EmbeddingOrHead)[],
  forms: ReadonlyMap<string, MatrixEncoding>,
  file: string,
): void {
  const known = new Map(layers.map((layer) => [layer.id, layer]));
  for (const [id, form] of forms) {
    const layer = known.get(id);
    if (layer === undefined) {
      throw new UserError(
        'linear-layer-unknown',
        say`The model has no linear layer of this name.`,
        { file, field: id, remedy: say`Open the model in the explorer to see its parts.` },
      );
    }
    if ('place' in layer) {
      checkEmbeddingOrHeadEncoding(form, layer);
    } else {
      checkEncoding(form, layer);
    }
  }
}

/** Files of a model and of its encodings. */
export function withEncodingFiles(
  files: readonly string[],
  forms: ReadonlyMap<string, MatrixEncoding>,
): readonly string[] {
  const added = [...forms.values()].flatMap((form) =>
    encodingTensors(form).map(({ file }) => file),
  );
  return [...new Set([...files, ...added])];
}

/** Model summary with the parameters and bytes of changed layers. KV caches don't change. */
function withCosts(
  summary: ModelSummary,
  layout: Layout,
  changed: readonly Sublayer[],
  embeddingAndHead: EmbeddingAndHead,
  forms: ReadonlyMap<string, MatrixEncoding>,
): ModelSummary {
  const before = summarizeSublayers(layout);
  const after = summarizeSublayers({ ...layout, sublayers: changed });
  const [embeddingAndHeadBefore, embeddingAndHeadAfter] = [
    summarizeEmbeddingAndHead(layout.embeddingAndHead),
    summarizeEmbeddingAndHead(embeddingAndHead),
  ];
  const grown = (cost: 'parameters' | 'bytes'): number =>
    after.reduce(
      (sum, sublayer, i) => sum + sublayer[cost] - (before[i]?.[cost] ?? 0),
      embeddingAndHeadAfter[cost] - embeddingAndHeadBefore[cost],
    );
  const modelTensors = (sublayers: readonly Sublayer[], outside: EmbeddingAndHead) => [
    ...sublayers.flatMap((one) => one.tensors()),
    ...embeddingAndHeadTensors(outside),
  ];
  return {
    ...summary,
    parameters: summary.parameters + grown('parameters'),
    bytes: summary.bytes + grown('bytes'),
    ...(summary.tiedHead === undefined ? {} : { tiedHead: hasTiedHead(embeddingAndHead) }),
    dtypes: dtypesWith(
      summary.dtypes,
      modelTensors(layout.sublayers, layout.embeddingAndHead),
      modelTensors(changed, embeddingAndHead),
    ),
    sublayers: summary.sublayers.map((sublayer, i) => ({
      ...sublayer,
      ...after[i],
      kvBytesPerToken: sublayer.kvBytesPerToken,
    })),
    fingerprint: fingerprintEncodings(summary.fingerprint, forms),
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

/** Fingerprint of the encodings of each layer, without their values. */
export const fingerprintEncodings = (
  fingerprint: string,
  forms: ReadonlyMap<string, MatrixEncoding>,
): string =>
  fingerprintChanges(fingerprint, forms, (form) =>
    mapTensors(form, ({ dtype, shape }) => ({ dtype, shape })),
  );
