import { firstRows } from '../../metrics/slices';
import type { LayeredModel } from '../../models/layered-model';
import type { LayerStack } from '../../models/layer-stacks';
import type { ModelMatrix, EmbeddingOrHead } from '../../models/matrix-encoding';
import type { Compression, CompressionRequest } from '../compression-choice';
import { defaultTokens } from '../statistics/profile-inputs';
import { expandCompressions } from './expand-compressions';
import { schemeName } from './schemes';
import type { OpenWidth } from './width-sensitivity';

/** Passes of a decomposition over a matrix, per unit of its smaller dimension; measured on SmolLM2-135M. */
const passes = 100;
/** Relative cost of reading inputs, which runs the model and computes Gram matrices. */
const readings = 2;

/** Approximate multiplications of decomposing a matrix. */
export const decompositionCost = ({ out, in: inputs }: Pick<ModelMatrix, 'out' | 'in'>): number =>
  passes * out * inputs * Math.min(out, inputs);

/** Compressions to try on every layer, and the number of tokens to measure them on. */
export interface Trials {
  readonly compressions: readonly CompressionRequest[];
  readonly precision: number;
  readonly tokens: number;
}

/**
 * Approximate multiplications of measuring some layers, by id: reading the inputs, decomposing the matrix, and running
 * the sublayers after it.
 */
export function layerCosts(
  { summary: { sublayers } }: LayeredModel,
  layers: readonly LayerStack[],
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
      const tried = expandCompressions(layer, compressions);
      const looked = precision === 0 ? tried.length : ladderEnds(tried);
      const run = tokensRun(looked, { precision, tokens });
      const next = Math.max(read, layer.sublayer + 1);
      const reading = readings * fitted * parameters(read, next);
      read = next;
      const decompositions = layer.layers.reduce((sum, one) => sum + decompositionCost(one), 0);
      const cost = reading + tried.length * decompositions + run * parameters(layer.sublayer);
      return [layer.id, cost];
    }),
  );
}

/** Approximate cost of measuring width-pruned sublayers, by id: running them, and reading their layers' inputs. */
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

/** Approximate cost of measuring embedding and head, by id; an embedding runs through the whole model. */
export function embeddingCosts(
  { summary: { sublayers } }: LayeredModel,
  embeddingAndHead: readonly {
    readonly matrix: EmbeddingOrHead;
    readonly compressions: readonly Compression[];
  }[],
  tokens: number,
): ReadonlyMap<string, number> {
  const behind = sublayers.reduce((sum, one) => sum + one.parameters, 0);
  return new Map(
    embeddingAndHead.map(({ matrix: { id, place, out, in: inputs }, compressions }) => {
      const run = out * inputs + (place === 'embedding' ? behind : 0);
      return [id, compressions.length * tokens * run];
    }),
  );
}

/** Number of mildest and strongest settings of all methods; settings between them are mostly interpolated. */
function ladderEnds(compressions: readonly Compression[]): number {
  const settings = new Map<string, number>();
  for (const compression of compressions) {
    settings.set(schemeName(compression), (settings.get(schemeName(compression)) ?? 0) + 1);
  }
  return [...settings.values()].reduce((sum, count) => sum + Math.min(2, count), 0);
}

/** Tokens to run for all changes of a part: all for the first change, fewer for others if that is precise enough. */
function tokensRun(
  compressions: number,
  { precision, tokens }: Pick<Trials, 'precision' | 'tokens'>,
): number {
  return precision === 0
    ? compressions * tokens
    : tokens + compressions * Math.min(tokens, firstRows);
}
