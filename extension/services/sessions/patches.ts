import { elementCount } from '../../core/checkpoints/lazy-tensor';
import type { Patches } from '../../core/export/changes';
import { parsePatchGraph } from '../../core/pipelines/patching/planned-patches';
import type { PlannedPatch } from '../../core/plans/plan';
import type { ModelSummary } from '../../core/models/model-summary';
import type { SymbolicGraph } from '../../core/models/patch/symbolic-graph';
import { patchTensorShapes } from '../../core/models/patch/symbolic-patch';
import type { PatchSpec } from '../../core/models/patch/symbolic-patch';
import { graphToJson } from '../../core/symbolic/random-graph';
import { UserError } from '../../core/user-error';
import type { ShownPatch } from '../../protocol/heatmap';

/** The patches that a model has, and over them those that are planned for it. */
export function shownPatches(
  model: ModelSummary,
  planned: readonly PlannedPatch[],
): Readonly<Record<string, ShownPatch>> {
  return {
    ...Object.fromEntries(
      Object.entries(model.patches ?? {}).map(([id, spec]) => [id, shownModelPatch(spec)]),
    ),
    ...Object.fromEntries(planned.map((patch) => [patch.sublayer, shownPlanPatch(patch, model)])),
  };
}

/** Planned patches as far as config.json tells of them: without their weights. */
export function describedPatches(planned: readonly PlannedPatch[]): Patches {
  return new Map(
    planned.flatMap((patch) => {
      const graph = patchGraph(patch);
      const { sublayer, program } = patch;
      return graph === undefined ? [] : [[sublayer, { program, graph, tensors: {} }] as const];
    }),
  );
}

function shownModelPatch({ program, nodes, edges }: PatchSpec): ShownPatch {
  const graph = graphToJson({
    nodes,
    edges: edges.map(([id, port, a, b]) => ({ id, port, ends: [a, b] })),
    nextId: nodes.length + edges.length,
  });
  return { program, graph, place: 'model' };
}

function shownPlanPatch(patch: PlannedPatch, { hiddenSize }: ModelSummary): ShownPatch {
  const { program } = patch;
  const graph = patchGraph(patch);
  const shapes = hiddenSize === undefined ? [] : Object.values(patchTensorShapes(hiddenSize));
  const parameters = shapes.reduce((sum, shape) => sum + elementCount(shape), 0);
  return {
    program,
    ...(graph === undefined ? {} : { graph: graphToJson(graph) }),
    place: 'plan',
    ...(parameters === 0 ? {} : { parameters }),
  };
}

/** Undefined if the program builds no graph; applying the plan reports the reason. */
function patchGraph({ program, sublayer }: PlannedPatch): SymbolicGraph | undefined {
  try {
    return parsePatchGraph(program, `patch.${sublayer}.program`);
  } catch (error) {
    if (error instanceof UserError) {
      return undefined;
    }
    throw error;
  }
}
