import { join } from 'node:path';
import type { MatrixProducts } from '../../linear-algebra/matrix-products';
import { pruneWidth } from '../../models/width-pruning/prune-width';
import { ownWidth } from '../../models/width-pruning/explain-not-width-prunable';
import {
  formatRanges,
  greatestDivisor,
  leastCommonMultiple,
} from '../../models/width-pruning/number-ranges';
import { linearSizes } from '../../models/width-pruning/width';
import type { Width } from '../../models/width-pruning/width';
import type { LayeredModel } from '../../models/layered-model';
import type { SublayerSummary } from '../../models/model-summary';
import type { OpenedModel } from '../../models/opened-model';
import type { InputStatistics } from '../statistics/statistics-accumulator';
import type { ChangeScorer, StandIn } from './change-scorer';
import type { SensitivitySettings, WidthEntry, WidthSensitivity } from './sensitivity-profile';
import { UserError } from '../../user-error';
import { say } from '../../message';

/** Sublayer whose width can be pruned, with the widths to try. */
export interface OpenWidth extends Pick<WidthSensitivity, 'of' | 'count'> {
  readonly index: number;
  readonly sublayer: string;
  /** Location of channels or groups; undefined for experts. */
  readonly width?: Width;
  /** Numbers of remaining channels, groups or experts, descending. */
  readonly kept: readonly number[];
}

/**
 * Sublayers whose width can be pruned to shares of their width, with distinct numbers that remain.
 * @throws UserError if shares are requested and no sublayer can be width-pruned to one of them
 */
export function chosenWidths(
  model: LayeredModel,
  {
    widths: shares = [],
    blocks,
    compressions = [],
  }: Pick<SensitivitySettings, 'widths' | 'blocks'> &
    Partial<Pick<SensitivitySettings, 'compressions'>>,
): OpenWidth[] {
  const isTyped = compressions.some(({ method }) => method === 'gguf');
  const found = model.summary.sublayers.flatMap((sublayer, index): OpenWidth[] => {
    const open = openWidth(model, sublayer, index);
    if (open === undefined || (blocks.length > 0 && !blocks.includes(sublayer.block))) {
      return [];
    }
    const { count, least = 1, ...rest } = open;
    const step = isTyped ? typedStep(rest.width, count) : (rest.width?.step ?? 1);
    // Whole steps are removed; a remainder after the last step stays.
    const kept = shares.map((share) => count - Math.round(((1 - share) * count) / step) * step);
    const widths = [...new Set(kept)].filter((one) => one >= least && one < count);
    return widths.length === 0
      ? []
      : [{ index, sublayer: sublayer.id, count, ...rest, kept: widths.sort((a, b) => b - a) }];
  });
  if (shares.length > 0 && found.length === 0) {
    throw new UserError(
      'no-widths',
      say`No sublayer of the chosen blocks can be pruned to these widths.`,
      {
        field: 'widths',
        remedy: say`Choose other shares, or prune the width of MLPs, attention layers or MoE layers.`,
      },
    );
  }
  return found;
}

/** Inputs of the quantization blocks of GGUF types, from the largest. */
const blockInputs = [256, 32] as const;
/** Fewest steps that a width is divided into. */
const fewestSteps = 4;

/** Channels or groups that are removed together so that the rows of the last layer can still be divided into blocks. */
function typedStep(width: Width | undefined, count: number): number {
  const { step = 1, output } = width ?? {};
  if (output === undefined) {
    return step;
  }
  const inputs = linearSizes(output).in / count;
  const steps = blockInputs
    .filter((block) => (inputs * count) % block === 0)
    .map((block) => leastCommonMultiple(step, block / greatestDivisor(block, inputs)));
  return steps.find((one) => one * fewestSteps <= count) ?? step;
}

function openWidth(
  model: LayeredModel,
  { experts }: SublayerSummary,
  index: number,
):
  | (Pick<OpenWidth, 'of' | 'count' | 'width'> & { readonly least?: number | undefined })
  | undefined {
  if (experts?.groups !== undefined) {
    return undefined; // The experts of least worth are rarely the same number in each group.
  }
  if (experts !== undefined && model.sublayer(index).routed !== undefined) {
    const { count, least, perToken } = experts;
    return { of: 'experts', count, least: Math.max(least ?? 1, perToken) };
  }
  const width = ownWidth(model, index);
  return width === undefined ? undefined : { of: width.of, count: width.count, width };
}

/** Describes a sublayer with its measured widths. */
export function describeWidth(
  { sublayer, of, count }: Pick<OpenWidth, 'sublayer' | 'of' | 'count'>,
  entries: readonly WidthEntry[],
): WidthSensitivity {
  return { sublayer, of, count, entries };
}

/**
 * Contribution of each channel or group to the residual stream on the calibration text: Σ ‖W_g x_g‖² over the tokens,
 * from the Gram matrix of the last layer's inputs. Those with the smallest contribution are removed first (like
 * activation norms in 2SSP, arXiv 2501.17771, but including the following weights).
 */
export async function contributions(
  { count, output }: Width,
  { gram }: InputStatistics,
  products: MatrixProducts,
): Promise<Float64Array> {
  const { weight, transposed = false } = output;
  const matrix = await products.read({ kind: 'stored', tensor: weight, transposed });
  const size = matrix.length / count;
  const result = new Float64Array(count);
  for (let group = 0; group < count; group++) {
    const start = group * size;
    for (let row = 0; row < matrix.count; row++) {
      const at = row * matrix.length + start;
      for (let i = 0; i < size; i++) {
        const left = matrix.numbers[at + i] ?? 0;
        const line = (start + i) * gram.size + start;
        let sum = 0;
        for (let j = 0; j < size; j++) {
          sum += (gram.numbers[line + j] ?? 0) * (matrix.numbers[at + j] ?? 0);
        }
        result[group] = (result[group] ?? 0) + left * sum;
      }
    }
  }
  return result;
}

/** Setup for measuring widths. */
interface WidthSetup {
  readonly model: OpenedModel;
  readonly scorer: ChangeScorer;
  /** Maximum standard error of a distance, as a share of it; 0 measures all of the text. */
  readonly precision: number;
  /** Existing folder. */
  readonly folder: string;
}

/**
 * Distances of the model with the scorer's current sublayer at each of its widths.
 * @param worth importance of each channel, group or expert; the least important are removed first
 */
export async function measureWidth(
  { model, scorer, precision, folder }: WidthSetup,
  { index, sublayer, count, width, kept }: OpenWidth,
  worth: ArrayLike<number>,
): Promise<WidthEntry[]> {
  const all = Array.from({ length: count }, (_, place) => place);
  const step = width?.step ?? 1;
  const runs = Array.from({ length: count / step }, (_, run) =>
    all.slice(run * step, (run + 1) * step),
  );
  const runImportance = (run: readonly number[]): number =>
    run.reduce((sum, place) => sum + (worth[place] ?? 0), 0);
  const ascending = runs.sort((a, b) => runImportance(a) - runImportance(b));
  const removed = kept.map((remaining) =>
    ascending
      .slice(0, (count - remaining) / step)
      .flat()
      .sort((a, b) => a - b),
  );
  const steps: StandIn[] = [];
  for (const [i, gone] of removed.entries()) {
    if (width === undefined) {
      const { part, next, mask } = model.model.sublayer(index);
      steps.push({ part, next, ...(mask === undefined ? {} : { mask }), without: gone });
      continue;
    }
    const staying = all.filter((place) => !gone.includes(place));
    const file = join(folder, `width-${i}.safetensors`);
    const widthPruned = await pruneWidth(model, new Map([[sublayer, staying]]), file);
    steps.push(widthPruned.model.sublayer(index));
  }
  const distances = await (precision === 0
    ? scorer.distances(steps)
    : scorer.estimates(steps, precision));
  return kept.flatMap((remaining, i): WidthEntry[] => {
    const distance = distances[i];
    return distance === undefined
      ? []
      : [{ kept: remaining, remove: formatRanges(removed[i] ?? []), ...distance }];
  });
}
