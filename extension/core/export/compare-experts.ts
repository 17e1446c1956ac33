import { sliceRows, hasFloatRows } from '../checkpoints/lazy-tensor';
import type { LazyTensor } from '../checkpoints/lazy-tensor';
import { readFloatRows } from '../checkpoints/float-rows';
import { checkpoint } from '../jobs/job';
import { rootMeanSquare, sumOfSquares } from '../linear-algebra/small-matrix';
import type { JobContext } from '../jobs/job';
import type { PrunableSublayer, QuantizableSublayer } from '../models/layered-model';
import type { LinearLayer } from '../models/matrix-encoding';
import type { SublayerSummary } from '../models/model-summary';
import { UserError } from '../user-error';
import { say } from '../message';
import type { Changes } from './changes';

/** Rows and columns of each expert's matrices that are compared: some kilobytes of each. */
const sampledRows = 4;
const sampledColumns = 512;

/** Largest relative error of an exact copy, whose floats may be stored in another type. */
const exactError = 1e-6;
/** An expert is exchanged if the squared distance to another one is smaller than this times that to its own. */
const nearer = 0.9;
/** Unrelated matrices a and b have |a − b|² ≈ |a|² + |b|². Rounding to two bits changes about a tenth of that. */
const unrelated = 0.5;
/** Root mean square below which scales in half precision may round all weights to zero. */
const smallestWeights = 1e-4;

/** Parts of a model that are compared. */
export interface ComparedModel {
  readonly summary: { readonly sublayers: readonly Pick<SublayerSummary, 'id' | 'kind'>[] };
  sublayer(index: number): ComparedSublayer;
}
type ComparedSublayer = Pick<
  QuantizableSublayer & PrunableSublayer,
  'linearLayers' | 'expertTensors'
>;

/** Values of one row per expert, or of a part of each expert's matrix. */
type ValuesByExpert = readonly Float32Array[];

interface Comparison {
  /** True if no weight was rounded, so that values must be equal. */
  readonly isExact: boolean;
  /** Path of the result, for errors. */
  readonly path: string;
}

interface ComparedChanges extends Pick<Changes, 'remainingExperts'> {
  readonly remaining: ComparedModel['summary']['sublayers'];
  readonly patches: Pick<Changes['patches'], 'has'>;
}

/** A MoE layer of the source and the same layer of the result. */
interface ComparedLayer {
  readonly source: ComparedSublayer;
  readonly written: ComparedSublayer;
  /** Source expert of each expert of the result. */
  readonly remaining: readonly number[];
}

/**
 * Checks that each expert and its router row have the weights of their own source expert. Logits don't show exchanged
 * experts if the bound on the rounding error is large. Reads a part of each matrix, one matrix of a layer at a time.
 * Matrices that one of the models stores fused or encoded are left out.
 * @throws UserError naming a tensor of the result
 */
export async function compareExperts(
  source: ComparedModel,
  written: ComparedModel,
  changes: ComparedChanges,
  how: Comparison,
  context: Pick<JobContext, 'cancellation'>,
): Promise<void> {
  for (const { source: own, written: result, remaining } of listLayers(source, written, changes)) {
    const rows = result.expertTensors?.byRow ?? [];
    for (const [i, tensor] of rows.entries()) {
      await checkpoint(context.cancellation);
      const before = own.expertTensors?.byRow[i];
      if (before !== undefined && [before, tensor].every(hasValues)) {
        const expected = await readRows(before, own.expertTensors?.experts.length ?? 1);
        const actual = await readRows(tensor, remaining.length);
        requireOwnExperts(tensor, remaining, expected, actual, how);
      }
    }
    const matrices = groupByRole(result.linearLayers);
    for (const [role, layers] of groupByRole(own.linearLayers)) {
      await checkpoint(context.cancellation);
      const actual = matrices.get(role);
      const [first] = actual ?? [];
      if (actual !== undefined && first !== undefined && [...layers, ...actual].every(isReadable)) {
        const values = [await readCorners(layers), await readCorners(actual)] as const;
        requireOwnExperts(first.weight, remaining, ...values, how);
      }
    }
  }
}

/** MoE layers of both models whose experts can be read one by one. */
function listLayers(
  source: ComparedModel,
  written: ComparedModel,
  { remaining, patches, remainingExperts }: ComparedChanges,
): ComparedLayer[] {
  const results = written.summary.sublayers.flatMap(({ kind }, index) =>
    kind === 'expert' ? [written.sublayer(index)] : [],
  );
  return remaining
    .filter(({ id, kind }) => kind === 'expert' && !patches.has(id))
    .flatMap(({ id }, i) => {
      const own = source.sublayer(source.summary.sublayers.findIndex((one) => one.id === id));
      const result = results[i];
      const all = [...(own.expertTensors?.experts ?? []).keys()];
      return all.length === 0 || result?.expertTensors === undefined
        ? []
        : [{ source: own, written: result, remaining: remainingExperts.get(id) ?? all }];
    });
}

/** True if the values of a tensor are floats or blocks in a file. */
const hasValues = (tensor: LazyTensor): boolean =>
  tensor.packed === undefined && hasFloatRows({ ...tensor, shape: [1, ...tensor.shape] });

const isReadable = ({ weight, encoding }: LinearLayer): boolean =>
  encoding === undefined && hasFloatRows(weight);

/** Linear layers of the experts by role, in the order of the experts. */
function groupByRole(layers: readonly LinearLayer[]): ReadonlyMap<string, readonly LinearLayer[]> {
  const groups = new Map<string, LinearLayer[]>();
  for (const layer of layers) {
    if (layer.expert !== undefined) {
      const group = groups.get(layer.role) ?? [];
      groups.set(layer.role, group);
      group.push(layer);
    }
  }
  return groups;
}

/** Rows of a router tensor, which may have a single value per expert. */
async function readRows(tensor: LazyTensor, experts: number): Promise<ValuesByExpert> {
  const values: number[] = [];
  await readFloatRows(tensor, (_, numbers) => values.push(...numbers));
  const width = values.length / experts;
  return Array.from({ length: experts }, (_, expert) =>
    Float32Array.from(values.slice(expert * width, (expert + 1) * width)),
  );
}

/** The first outputs and inputs of each matrix [out, in]. */
async function readCorners(layers: readonly LinearLayer[]): Promise<ValuesByExpert> {
  const corners: Float32Array[] = [];
  for (const { weight, transposed, out, in: input } of layers) {
    const [outputs, inputs] = [Math.min(out, sampledRows), Math.min(input, sampledColumns)];
    const [rows, columns] = transposed ? [inputs, outputs] : [outputs, inputs];
    const corner = new Float32Array(outputs * inputs);
    await readFloatRows(sliceRows(weight, 0, rows), (row, numbers) => {
      for (let i = 0; i < columns; i++) {
        corner[transposed ? i * inputs + row : row * inputs + i] = numbers[i] ?? 0;
      }
    });
    corners.push(corner);
  }
  return corners;
}

/** @throws UserError if values of an expert are not those of its source expert */
function requireOwnExperts(
  { name, sliceOf = name }: LazyTensor,
  remaining: readonly number[],
  expected: ValuesByExpert,
  actual: ValuesByExpert,
  { isExact, path }: Comparison,
): void {
  for (const [expert, source] of remaining.entries()) {
    const [ours, own] = [actual[expert], expected[source]];
    if (ours?.length !== own?.length) {
      return; // The models store this tensor differently.
    }
    if (ours !== undefined && own !== undefined && !isOwn(ours, own, expected, isExact)) {
      throw new UserError(
        'experts-exchanged',
        say`Expert ${expert} of the written model doesn't have the weights of expert ${source} of the source.`,
        {
          file: path,
          field: sliceOf,
          remedy: say`The result was deleted, and the source is untouched. Please report this.`,
        },
      );
    }
  }
}

/** True if values come from `own`: they are equal to it, or nearer to it than to the other experts. */
function isOwn(
  values: Float32Array,
  own: Float32Array,
  all: ValuesByExpert,
  isExact: boolean,
): boolean {
  const distance = squaredDistance(values, own);
  const size = sumOfSquares(own);
  if (!(distance > exactError ** 2 * size)) {
    return !Number.isNaN(distance);
  }
  if (isExact) {
    return false;
  }
  if (rootMeanSquare(own) < smallestWeights) {
    return true;
  }
  // A single value, as in a bias, has no direction.
  const isUnrelated = own.length > 1 && distance > unrelated * (size + sumOfSquares(values));
  const limit = nearer * distance;
  return !isUnrelated && !all.some((other) => squaredDistance(values, other, limit) < limit);
}

/** |a − b|², or a smaller sum that exceeds `limit`. */
function squaredDistance(a: Float32Array, b: Float32Array, limit = Infinity): number {
  let sum = 0;
  for (let i = 0; i < a.length && !(sum > limit); i++) {
    sum += ((a[i] ?? 0) - (b[i] ?? 0)) ** 2;
  }
  return sum;
}
