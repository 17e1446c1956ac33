import { firstRows } from '../../metrics/slices';
import type { LayeredModel } from '../../models/layered-model';
import type { LinearLayer, ModelMatrix, OuterMatrix } from '../../models/matrix-encoding';
import type { Compression, CompressionRequest } from '../compression-choice';
import { defaultTokens } from '../statistics/default-tokens';
import { compressionsOf } from './compressions-of';
import { wayName } from './ways';
import type { OpenWidth } from './width-sensitivity';

/** A decomposition goes so many times over a matrix for each of its least dimension: as measured on SmolLM2-135M. */
const passes = 100;
/** Reading inputs runs the model and sums up their products. */
const readings = 2;

/** Multiplications of decomposing a matrix, roughly. */
export const decompositionCost = ({ out, in: inputs }: Pick<ModelMatrix, 'out' | 'in'>): number =>
  passes * out * inputs * Math.min(out, inputs);

/** What every layer is tried with, and the text that it is measured on. */
export interface Trials {
  readonly compressions: readonly CompressionRequest[];
  readonly precision: number;
  readonly tokens: number;
}

/**
 * Multiplications of measuring each of some layers, roughly, by their ids: reading its inputs, decomposing it, and
 * running what lies behind it.
 */
export function layerCosts(
  { summary: { sublayers } }: LayeredModel,
  layers: readonly LinearLayer[],
  { compressions, precision, tokens }: Trials,
): ReadonlyMap<string, number> {
  const fitted = defaultTokens(
    layers.flatMap((layer) => compressions.map(({ method }) => ({ in: layer.in, method }))),
  );
  const parameters = (from: number, to?: number): number =>
    sublayers.slice(from, to).reduce((sum, one) => sum + one.parameters, 0);
  let read = 0;
  return new Map(
    layers.map((layer) => {
      const ways = compressionsOf(layer, compressions);
      const looked = precision === 0 ? ways.length : ladderEnds(ways);
      const run = tokensRun(looked, { precision, tokens });
      const next = Math.max(read, layer.sublayer + 1);
      const reading = readings * fitted * parameters(read, next);
      read = next;
      const cost =
        reading + ways.length * decompositionCost(layer) + run * parameters(layer.sublayer);
      return [layer.id, cost];
    }),
  );
}

/** The same of narrowing sublayers, by their ids: they are run, and their inputs are read for their layers. */
export function widthCosts(
  { summary: { sublayers } }: LayeredModel,
  widths: readonly OpenWidth[],
  trials: Pick<Trials, 'precision' | 'tokens'>,
): ReadonlyMap<string, number> {
  return new Map(
    widths.map(({ index, sublayer, kept }) => {
      const behind = sublayers.slice(index).reduce((sum, one) => sum + one.parameters, 0);
      return [sublayer, tokensRun(kept.length, trials) * behind];
    }),
  );
}

/** The same of embedding and head, by their ids: the first is run through the whole model. */
export function outerCosts(
  { summary: { sublayers } }: LayeredModel,
  outer: readonly { readonly matrix: OuterMatrix; readonly compressions: readonly Compression[] }[],
  tokens: number,
): ReadonlyMap<string, number> {
  const behind = sublayers.reduce((sum, one) => sum + one.parameters, 0);
  return new Map(
    outer.map(({ matrix: { id, place, out, in: inputs }, compressions }) => {
      const run = out * inputs + (place === 'embedding' ? behind : 0);
      return [id, compressions.length * tokens * run];
    }),
  );
}

/** The mildest and the strongest level of each way: those between are mostly interpolated. */
function ladderEnds(ways: readonly Compression[]): number {
  const levels = new Map<string, number>();
  for (const way of ways) {
    levels.set(wayName(way), (levels.get(wayName(way)) ?? 0) + 1);
  }
  return [...levels.values()].reduce((sum, count) => sum + Math.min(2, count), 0);
}

/** Tokens that ways to change one part are run on: the first on all, the others on few where that is precise enough. */
function tokensRun(
  ways: number,
  { precision, tokens }: Pick<Trials, 'precision' | 'tokens'>,
): number {
  return precision === 0 ? ways * tokens : tokens + ways * Math.min(tokens, firstRows);
}
