import type { LayeredModel } from '../../models/layered-model';
import type { LayerStack } from '../../models/layer-stacks';
import type { EmbeddingOrHead } from '../../models/matrix-encoding';
import type { Compression } from '../compression-choice';
import { chosenEmbeddingAndHead, chosenLayers } from './chosen-matrices';
import { embeddingCosts, layerCosts, widthCosts } from './expected-cost';
import { expandCompressions } from './expand-compressions';
import type { LayerRequest } from './layer-work';
import type { Measurements } from './measurements';
import type { SensitivitySettings } from './sensitivity-profile';
import { chosenWidths } from './width-sensitivity';
import type { OpenWidth } from './width-sensitivity';

/** Parts of a model that are measured, each alone. */
export interface ProfileParts {
  readonly layers: readonly {
    readonly layer: LayerStack;
    readonly compressions: readonly Compression[];
  }[];
  readonly embeddingAndHead: readonly {
    readonly matrix: EmbeddingOrHead;
    readonly compressions: readonly Compression[];
  }[];
  readonly widths: readonly OpenWidth[];
}

/** @throws UserError if the settings choose nothing that can be measured */
export function chosenParts(model: LayeredModel, settings: SensitivitySettings): ProfileParts {
  return {
    layers: chosenLayers(model, settings).map((layer) => ({
      layer,
      compressions: expandCompressions(layer, settings.compressions),
    })),
    embeddingAndHead: chosenEmbeddingAndHead(model, settings),
    widths: chosenWidths(model, settings),
  };
}

/** Number of measurements. */
export function countMeasurements({ layers, embeddingAndHead, widths }: ProfileParts): number {
  return [
    ...[...layers, ...embeddingAndHead].map(({ compressions }) => compressions),
    ...widths.map(({ kept }) => kept),
  ].reduce((sum, { length }) => sum + length, 0);
}

/** Parts that lack measurements. */
export function openParts(
  { layers, embeddingAndHead, widths }: ProfileParts,
  measurements: Measurements,
): ProfileParts {
  return {
    layers: layers.filter(
      ({ layer, compressions }) => !measurements.hasAll(layer.id, compressions),
    ),
    embeddingAndHead: embeddingAndHead.filter(
      ({ matrix, compressions }) => !measurements.hasAll(matrix.id, compressions),
    ),
    widths: widths.filter(({ sublayer }) => !measurements.widths.has(sublayer)),
  };
}

/** Approximate cost of measuring each part, by id. */
export function partCosts(
  model: LayeredModel,
  { layers, embeddingAndHead, widths }: ProfileParts,
  settings: SensitivitySettings,
  tokens: number,
): ReadonlyMap<string, number> {
  const trials = { ...settings, tokens };
  return new Map([
    ...embeddingCosts(model, embeddingAndHead, tokens),
    ...layerCosts(
      model,
      layers.map(({ layer }) => layer),
      trials,
    ),
    ...widthCosts(model, widths, trials),
  ]);
}

/** If time is short, every n-th block is measured first. */
const blockStride = 4;

/** Work items for parts, by their ids, in model order. If time is short, blocks from all over the model come first. */
export function partRequests(
  { summary: { sublayers } }: LayeredModel,
  { layers, embeddingAndHead, widths }: ProfileParts,
  isTimeShort: boolean,
): { readonly id: string; readonly request: LayerRequest }[] {
  const requests = [
    ...widths.map(({ index, sublayer: id }) => ({
      id,
      request: { kind: 'widths', sublayer: index } as const,
    })),
    ...layers.map(({ layer: { sublayer, id } }) => ({
      id,
      request: { kind: 'layer', sublayer, id } as const,
    })),
  ].sort((a, b) => a.request.sublayer - b.request.sublayer);
  const isEarly = ({ request: { sublayer } }: (typeof requests)[number]): boolean =>
    (sublayers[sublayer]?.block ?? 0) % blockStride === 0;
  return [
    ...embeddingAndHead.map(({ matrix: { id } }) => ({
      id,
      request: { kind: 'embedding-or-head', id } as const,
    })),
    ...(isTimeShort
      ? [...requests.filter(isEarly), ...requests.filter((one) => !isEarly(one))]
      : requests),
  ];
}
