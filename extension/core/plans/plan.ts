import { dirname, isAbsolute, resolve } from 'node:path';
import type { WritableType } from '../checkpoints/ggml-types';
import type { PlannedWidthPruning } from '../models/width-pruning/width';
import type { CompressionPlan } from '../tensornet/budget/plan-under-budget';
import type { CompressionChoice } from '../tensornet/compression-choice';

/** A symbolic patch: x + U·G(D·x), which replaces a sublayer. */
export interface PlannedPatch {
  readonly sublayer: string;
  /** The program that builds its graph, of primitives alone, such as `(push (add (connect identity)))`. */
  readonly program: string;
  /** A safetensors file of its weights, relative to the plan's folder; names are `<sublayer>.down.weight` and so on. */
  readonly file: string;
}

/** The document `NAME.plan.json`: what to change in which model. Made to be edited by hand. */
export interface Plan {
  readonly $schema?: string;
  readonly format: 'espalier.plan';
  readonly version: 1;
  readonly model: {
    /** Path of the model folder, relative to the plan's own folder or absolute. */
    readonly path: string;
    /** Fingerprint of the model the plan was made for; absent in plans written by hand. */
    readonly fingerprint?: string;
  };
  /** Ids of sublayers (`block.3.attention`), of experts (`block.3.expert.5`) or of blocks (`block.3`, both sublayers). */
  readonly remove: readonly string[];
  /** Width pruning of remaining sublayers, each at most once. */
  readonly widths?: readonly PlannedWidthPruning[];
  /** Compression of remaining linear layers, each at most once. */
  readonly compress?: readonly CompressionChoice[];
  /** Patches that replace sublayers; those are removed even if `remove` doesn't list them. */
  readonly patch?: readonly PlannedPatch[];
  /** Types of tensors, by their names in a GGUF file of the original; they go before the mix that is asked for. */
  readonly types?: Readonly<Record<string, WritableType>>;
  /** True if those were measured with importance-matrix rounding. */
  readonly byImportance?: true;
  /** Ids a later search must keep. */
  readonly protect?: readonly string[];
  /** The profile it came from, relative to the plan's folder. */
  readonly profile?: string;
  readonly note?: string;
}

type PlannedField = 'remove' | 'widths' | 'compress' | 'types' | 'byImportance';

/** Changes that a budget choice makes, in the format of a plan. */
export function plannedChanges({
  remove,
  widths,
  compress,
  types,
  byImportance,
}: Pick<CompressionPlan, PlannedField>): Pick<Plan, PlannedField> {
  return {
    remove,
    ...(widths.length === 0 ? {} : { widths }),
    ...(types === undefined ? { compress } : { types }),
    ...(byImportance === undefined ? {} : { byImportance }),
  };
}

/** A plan that changes a model as said. */
export function planFor(
  { path, fingerprint }: Plan['model'],
  changes: Partial<Omit<Plan, 'format' | 'version' | 'model'>>,
): Plan {
  return {
    format: 'espalier.plan',
    version: 1,
    model: { path, ...(fingerprint === undefined ? {} : { fingerprint }) },
    remove: [],
    ...changes,
  };
}

/** Path of the model folder that a plan is for. */
export const plannedModelPath = (plan: Plan, planPath: string): string =>
  isAbsolute(plan.model.path) ? plan.model.path : resolve(dirname(planPath), plan.model.path);
