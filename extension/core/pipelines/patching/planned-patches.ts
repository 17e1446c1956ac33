import { dirname, resolve } from 'node:path';
import { openSafetensors } from '../../checkpoints/safetensors';
import type { LayeredModel } from '../../models/layered-model';
import { fitsPatch, patchTensorShapes } from '../../models/patch/symbolic-patch';
import type { SymbolicPatch } from '../../models/patch/symbolic-patch';
import type { SymbolicGraph } from '../../models/patch/symbolic-graph';
import { RemovableUnits } from '../../models/units';
import { resolveIds } from '../../prune/candidates';
import { evaluateProgram, Machine } from '../../symbolic/evaluation/machine';
import { initialLibrary } from '../../symbolic/language/library';
import { parseProgram } from '../../symbolic/language/parse-term';
import { Rejection } from '../../symbolic/language/rejection';
import { UserError } from '../../user-error';
import { absentSublayer, excludePatched } from '../../export/changes';
import type { Patches } from '../../export/changes';
import type { PlannedPatch, Plan } from '../../plans/plan';
import { say } from '../../message';

const fitAgain = say`Fit the patch for this model: espalier patch.`;

/** Sublayers that a plan removes, and the patches that replace sublayers. */
interface PlannedRemoval {
  /** Ids of removed sublayers and experts that have no replacement. */
  readonly removed: readonly string[];
  readonly patches: Patches;
}

/**
 * Finds what a plan removes and patches.
 * @param folder the plan's
 * @param field that names what is removed, for errors
 * @throws UserError for ids that the model lacks, and for patches that cannot be read.
 */
export async function readRemoval(
  { remove, patch }: Pick<Plan, 'remove' | 'patch'>,
  model: LayeredModel,
  folder: string,
  field: string,
): Promise<PlannedRemoval> {
  const units = new RemovableUnits(model.summary);
  const ids = resolveIds(model.summary, remove, { field }).map((unit) => units.idOf(unit));
  const patches = await readPatches(patch ?? [], model, folder);
  return { removed: excludePatched(ids, patches), patches };
}

/** A plan's patches, with the files of their weights by absolute path. */
export function resolvePatches({ patch = [] }: Plan, planPath: string): PlannedPatch[] {
  return patch.map((one) => ({ ...one, file: resolve(dirname(planPath), one.file) }));
}

/** A plan that can be read from anywhere, as far as its patches go. */
export function withAbsolutePaths(plan: Plan, planPath: string): Plan {
  return plan.patch === undefined ? plan : { ...plan, patch: resolvePatches(plan, planPath) };
}

/**
 * The patches of a plan, their weights found in the files it names.
 * @param folder the plan's
 * @throws UserError for a program that builds no graph, and for weights that are not there or do not fit.
 */
async function readPatches(
  planned: readonly PlannedPatch[],
  model: LayeredModel,
  folder: string,
): Promise<Map<string, SymbolicPatch>> {
  const patches = new Map<string, SymbolicPatch>();
  for (const [i, { sublayer, program, file }] of planned.entries()) {
    const graph = parsePatchGraph(program, `patch.${i}.program`);
    const path = resolve(folder, file);
    const { tensors } = await openSafetensors(path);
    const index = model.summary.sublayers.findIndex(({ id }) => id === sublayer);
    if (index < 0) {
      const known = model.summary.sublayers.map(({ id }) => id);
      throw absentSublayer(model.summary, sublayer, known, `patch.${i}.sublayer`);
    }
    // If the graph doesn't state the width of its stream, use the patch's own width.
    const [own] = tensors.get(`${sublayer}.up.bias`)?.shape ?? [];
    const width = model.sublayer(index).patchWidth ?? own ?? 0;
    const shapes = Object.entries(patchTensorShapes(width));
    const found = shapes.map(([name, shape]) => {
      const stored = `${sublayer}.${name}`;
      const tensor = tensors.get(stored);
      if (tensor?.shape.join() !== shape.join()) {
        throw new UserError(
          tensor === undefined ? 'tensor-missing' : 'shape-mismatch',
          tensor === undefined
            ? say`The file lacks this tensor of the patch.`
            : say`It has shape [${tensor.shape.join(', ')}], expected [${shape.join(', ')}] by the model.`,
          { file: path, field: stored, remedy: fitAgain },
        );
      }
      return [name, tensor] as const;
    });
    patches.set(sublayer, { program, graph, tensors: Object.fromEntries(found) });
  }
  return patches;
}

/**
 * The graph that a patch's program builds.
 * @throws UserError if it builds none that a patch can have.
 */
export function parsePatchGraph(text: string, field: string): SymbolicGraph {
  const library = initialLibrary();
  try {
    const graph = evaluateProgram(parseProgram(text, library), new Machine(library));
    if (fitsPatch(graph)) {
      return graph;
    }
  } catch (error) {
    if (!(error instanceof Rejection)) {
      throw error;
    }
    throw new UserError(
      'program-without-graph',
      say`The program creates no graph: ${error.message}`,
      { field, remedy: fitAgain },
    );
  }
  throw new UserError(
    'program-graph-too-large',
    say`The graph of the program is too large for a patch.`,
    { field, remedy: fitAgain },
  );
}
