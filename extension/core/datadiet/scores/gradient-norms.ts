import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import type { NodeProto } from '../../onnx/proto/onnx_pb';
import { GraphIndex, operatorName } from '../../models/onnx/graph-index';
import { ValueShapes } from '../../models/onnx/values/value-shapes';
import { backward } from '../../training/backward';
import type { ShapedValue } from '../../training/losses';
import { UserError } from '../../user-error';
import { NormEmitter, normRules } from './norm-rules';
import type { UseGradient } from './norm-rules';
import { say } from '../../message';

/** Node input through which the forward pass reads a parameter. */
interface Use {
  readonly node: NodeProto;
  readonly place: number;
}

/** Operators that pass a parameter on without changing its values. */
const passing: ReadonlySet<string> = new Set([
  'Identity',
  'Transpose',
  'Reshape',
  'Cast',
  'Unsqueeze',
]);

/** Emits the gradients of each parameter at each node that reads it. */
function emitUses(
  graph: GraphBuilder,
  losses: ShapedValue,
  parameters: readonly string[],
): { emitter: NormEmitter; gradients: () => UseGradient[][] } {
  const proto = graph.graph;
  const index = new GraphIndex(proto, proto.name);
  const shapes = new ValueShapes(proto, index);
  const uses = new Map(parameters.map((name) => [name, findUses(index, name)]));
  const readers = new Set([...uses.values()].flat().map(({ node }) => node));
  const total = graph.op('ReduceSum', [losses.value], { keepdims: 0 });
  const outputs = [...readers].map(({ output }) => output[0] ?? '');
  const deltas = backward(graph, total, outputs);
  const emitter = new NormEmitter(graph, shapes, losses);
  return {
    emitter,
    gradients: () =>
      parameters.map((name) =>
        (uses.get(name) ?? []).map(({ node, place }) => {
          const rule = normRules[operatorName(node)]?.[place];
          if (rule === undefined) {
            throw noForm(node);
          }
          return rule(emitter, node, deltas.get(node.output[0] ?? '') ?? '');
        }),
      ),
  };
}

/**
 * Emits ‖∇ℓᵢ‖² over `parameters` for each example i of a batch: float32 [batch] (GraNd squared, arXiv 2107.07075,
 * definition 2.1), without a backward pass per example. Each of the `losses` [batch] must depend on its own example
 * only, so batch norms must use running statistics. norm-rules.ts has closed forms for operators that read parameters.
 * If several nodes read a parameter, its gradients per example are added before taking the norm.
 * @throws UserError naming a node that reads a parameter without such a closed form.
 */
export const emitGradientNorms = (
  graph: GraphBuilder,
  losses: ShapedValue,
  parameters: readonly string[],
): Value =>
  emitSum(graph, losses, parameters, 'norms', (emitter, uses) => {
    const [only] = uses;
    return uses.length === 1 && only !== undefined ? only.squaredNorm() : addedNorm(emitter, uses);
  });

/**
 * Emits ⟨∇ℓᵢ, ∇ℓⱼ⟩ over `parameters` for all pairs of examples of a batch: float32 [batch, batch]. Keeps the gradients
 * of all examples in memory, one parameter at a time.
 * @throws UserError naming a node that reads a parameter without gradients per example.
 */
export const emitGradientGram = (
  graph: GraphBuilder,
  losses: ShapedValue,
  parameters: readonly string[],
): Value =>
  emitSum(graph, losses, parameters, 'gram', (emitter, uses) => {
    const flat = uses.map((use) => emitter.flat(use.perExample()));
    const rows = flat.length === 1 ? (flat[0] ?? '') : graph.op('Sum', flat);
    return graph.op('MatMul', [rows, emitter.swapped(rows, 2)]);
  });

/** Emits the sum over the parameters of a term of the gradients that all uses of a parameter add to it. */
function emitSum(
  graph: GraphBuilder,
  losses: ShapedValue,
  parameters: readonly string[],
  name: string,
  emitTerm: (emitter: NormEmitter, uses: readonly UseGradient[]) => Value,
): Value {
  const { emitter, gradients } = emitUses(graph, losses, parameters);
  return graph.within(name, () => {
    const terms = gradients()
      .filter((uses) => uses.length > 0)
      .map((uses) => emitTerm(emitter, uses));
    return terms.length === 1 ? (terms[0] ?? '') : graph.op('Sum', terms);
  });
}

function addedNorm(emitter: NormEmitter, gradients: readonly UseGradient[]): Value {
  const flat = gradients.map((gradient) => emitter.flat(gradient.perExample()));
  return emitter.sumSquares(emitter.graph.op('Sum', flat), [1]);
}

/** Nodes that read a parameter. Follows operators that pass it on if it has a single reader. */
function findUses(index: GraphIndex, name: string): Use[] {
  const nodes = index.consumersOf(name);
  const [only] = nodes;
  if (
    nodes.length === 1 &&
    only !== undefined &&
    passing.has(only.op) &&
    only.proto.input[0] === name
  ) {
    return findUses(index, only.outputs[0] ?? '');
  }
  return nodes.flatMap(({ proto: node }) =>
    node.input.flatMap((input, place) => (input === name ? [{ node, place }] : [])),
  );
}

function noForm(node: NodeProto): UserError {
  return new UserError(
    'gradient-norm-unsupported',
    say`${operatorName(node)} reads a parameter in a way that has no per-example norms.`,
    { field: node.name, remedy: say`Score by EL2N, or leave this parameter out.` },
  );
}
