import type { OnnxFile } from '../../../checkpoints/onnx-file';
import { DataType } from '../../../onnx/graph-builder';
import type { GraphBuilder, Value } from '../../../onnx/graph-builder';
import { copyWith } from '../../../onnx/messages';
import { UserError } from '../../../user-error';
import { emitPatchBranch } from '../../patch/symbolic-patch';
import type { SymbolicPatch } from '../../patch/symbolic-patch';
import { additionsTo, freeName, namesIn, withAdditions } from './graph-additions';
import { GraphIndex } from '../graph-index';
import { keepPorts, remainingNodes, valuesRead } from './graph-remains';
import { toFloat32 } from '../matrices/emit-product';
import type { OnnxModel } from '../stream/graph-stream';
import { removeBranches } from './removal-nodes';
import type { RemovedBranch } from './removal-nodes';
import type { ResidualBranch } from '../stream/residual-stream';
import { ValueTypes } from '../values/value-types';
import { say } from '../../../message';

/** Types of a stream that a patch computes in. */
const floatTypes: readonly number[] = [DataType.FLOAT, DataType.FLOAT16];

/**
 * Replaces branches by patches, by branch index: x + f(x) becomes x + U·G(D·x). Nodes, weights and caches that only the
 * branches needed are removed.
 * @throws UserError if a patch isn't possible
 */
export function patchBranches(
  model: OnnxModel,
  patches: ReadonlyMap<number, SymbolicPatch>,
): OnnxFile {
  const { file, index } = model;
  const types = new ValueTypes(file, index);
  const names = namesIn(file.graph);
  const builder = additionsTo(file, names);
  const replaced = [...patches].map(([number, patch]) => {
    const branch = model.branches[number];
    const type = types.of(branch?.start ?? '');
    const id = model.summary.sublayers[number]?.id ?? String(number);
    if (branch === undefined || !floatTypes.includes(type) || model.place !== undefined) {
      throw notPatchable(model, id);
    }
    const own = { ...patch, tensors: named(patch, id, names) };
    const { result, nodes } = builder.recorded(() =>
      builder.within(id, () => emitSum(builder, own, branch.start, type)),
    );
    return { branch, result, nodes };
  });
  const stored = new Set(index.nodes.map(({ proto }) => proto));
  const node = [...stored, ...replaced.flatMap(({ nodes }) => nodes)];
  const initializer = builder.graph.initializer;
  const extended = new GraphIndex(
    copyWith(file.graph, { node, initializer: [...file.graph.initializer, ...initializer] }),
    file.path,
  );
  const remaining = removeBranches(
    extended,
    replaced.map(({ branch, result }) => moveToIndex(extended, branch, result)),
  );
  const left = [...remainingNodes({ file, index: extended }, remaining).values()].flat();
  const patched = keepPorts(file.graph, left, remaining);
  // Sorts the readers of a patch after it.
  const ordered = new Set(new GraphIndex(patched, file.path).nodes.map(({ proto }) => proto));
  const graph = copyWith(patched, { node: [...ordered] });
  const used = valuesRead(graph);
  return withAdditions(file, graph, builder, (name) => used.has(name));
}

function notPatchable({ file, place }: OnnxModel, id: string): UserError {
  return new UserError(
    place === undefined ? 'stream-not-float' : 'layers-inside-if',
    place === undefined
      ? say`The stream before it is not float32 or float16, which graph modules require.`
      : say`Layers inside an If can't be patched.`,
    {
      file: file.path,
      field: id,
      remedy:
        place === undefined
          ? say`Patch the model before it is quantized.`
          : say`Export each branch as a graph of its own, or patch the folder that the model was exported from.`,
    },
  );
}

/** Each tensor under a name that nothing in the graph has. */
function named(
  { tensors }: SymbolicPatch,
  id: string,
  names: Set<string>,
): SymbolicPatch['tensors'] {
  return Object.fromEntries(
    Object.entries(tensors).map(([name, tensor]) => [
      name,
      { ...tensor, name: freeName(`${id}.${name}`, names) },
    ]),
  );
}

/** x + U·G(D·x), computed in float32 and added in the stream's own type. */
function emitSum(builder: GraphBuilder, patch: SymbolicPatch, start: Value, type: number): Value {
  const added = toFloat32(builder, type, start, (wide) => emitPatchBranch(builder, patch, wide));
  return builder.op('Add', [start, added]);
}

/** Returns the branch with nodes of another index of the same graph. `rest` replaces its sum. */
function moveToIndex(
  index: GraphIndex,
  { start, sum, nodes }: ResidualBranch,
  rest: string,
): RemovedBranch {
  const own = [...nodes].flatMap(({ outputs: [output = ''] }) => index.producers.get(output) ?? []);
  return { start, sum, rest, nodes: new Set(own) };
}
