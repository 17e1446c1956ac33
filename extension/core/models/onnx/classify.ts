import type { FunctionProto, NodeProto } from '../../onnx/proto/onnx_pb';
import type { SublayerKind } from '../model-summary';
import { operatorName } from './graph-index';
import type { GraphIndex, GraphNode } from './graph-index';

const fusedAttention =
  /(?:^|:)(?:Attention|MultiHeadAttention|GroupQueryAttention|PackedAttention|PackedMultiHeadAttention|DecoderMaskedMultiHeadAttention|SparseAttention|PagedAttention|QAttention|LongformerAttention|LinearAttention)$/;
const fusedExperts = /(?:^|:)(?:MoE|QMoE)$/;
const convolutions = /(?:^|:)(?:Conv|ConvTranspose|ConvInteger|QLinearConv|FusedConv|NhwcConv)$/;
const weightProducts =
  /(?:^|:)(?:MatMul|Gemm|Einsum|MatMulNBits|MatMulBnb4|MatMulInteger|QLinearMatMul|MatMulIntegerToFloat|DynamicQuantizeMatMul|FusedMatMul|FusedGemm|TransposeMatMul|QGemm|GemmFastGelu|GemmFloat8)$/;
const activations =
  /(?:^|:)(?:Relu|LeakyRelu|Gelu|FastGelu|BiasGelu|QuickGelu|Erf|Tanh|Sigmoid|Swish|SiLU|Silu|HardSwish|HardSigmoid|Elu|Selu|Celu|Mish|Softplus|PRelu|Clip|FusedGemm|GemmFastGelu|BiasSplitGelu)$/;

/** Whether an operator multiplies by weights, by its name. */
export function hasWeightsByKind(op: string): boolean {
  return (
    weightProducts.test(op) ||
    convolutions.test(op) ||
    fusedExperts.test(op) ||
    fusedAttention.test(op)
  );
}

/** What a branch computes, by the operators inside. */
export function classifyBranch(
  nodes: ReadonlySet<GraphNode>,
  index: GraphIndex,
  functions: readonly FunctionProto[],
): SublayerKind {
  const ops = new Set<string>();
  for (const node of nodes) {
    addOperators(node.proto, node.op, functions, ops);
  }
  const some = (pattern: RegExp): boolean => [...ops].some((op) => pattern.test(op));
  const products = [...nodes].filter((node) => isProductOfValues(node, index));
  const scores = [...nodes].flatMap((node) =>
    node.op === 'Softmax' ? productsBehind(node, nodes, index) : [],
  );
  const fused = [...nodes].filter(({ op }) => fusedAttention.test(op));
  if (fused.length > 0 || scores.some((node) => isProductOfValues(node, index))) {
    const readers = fused.length > 0 ? fused : products;
    return readers.every((node) => readsOutside(node, nodes, index))
      ? 'cross-attention'
      : 'attention';
  }
  if (some(fusedExperts) || ops.has('TopK')) {
    return 'expert';
  }
  // Inside of functions it is not known what is multiplied by what.
  const called = [...nodes].some(({ proto }) => findFunction(proto, functions) !== undefined);
  if (some(fusedAttention) || (called && ops.has('Softmax'))) {
    return 'attention';
  }
  if (some(convolutions)) {
    return 'convolution';
  }
  return some(weightProducts) && some(activations) ? 'feedforward' : 'other';
}

/** Whether a node multiplies two values that both depend on the inputs. */
function isProductOfValues({ op, inputs }: GraphNode, index: GraphIndex): boolean {
  return (
    weightProducts.test(op) && inputs.filter((input) => !index.constants.has(input)).length > 1
  );
}

/** The nearest products on the ways that lead to a node: those whose results a softmax is taken of. */
function productsBehind(
  node: GraphNode,
  nodes: ReadonlySet<GraphNode>,
  index: GraphIndex,
): GraphNode[] {
  const found = new Set([node]);
  for (const one of found) {
    for (const input of weightProducts.test(one.op) ? [] : one.inputs) {
      const producer = index.producers.get(input);
      if (producer !== undefined && nodes.has(producer)) {
        found.add(producer);
      }
    }
  }
  return [...found].filter(({ op }) => weightProducts.test(op));
}

/** Whether a branch takes the keys or values of an attention from elsewhere, such as an encoder. */
function readsOutside(
  { op, proto, inputs }: GraphNode,
  nodes: ReadonlySet<GraphNode>,
  index: GraphIndex,
): boolean {
  const isOutside = (value: string): boolean => {
    const producer = index.producers.get(value);
    return !index.constants.has(value) && (producer === undefined || !nodes.has(producer));
  };
  if (fusedAttention.test(op)) {
    const [, key = ''] = proto.input;
    return key !== '' && isOutside(key);
  }
  return inputs.some(isOutside);
}

function addOperators(
  proto: NodeProto,
  op: string,
  functions: readonly FunctionProto[],
  found: Set<string>,
): void {
  if (found.has(op)) {
    return;
  }
  found.add(op);
  const body = findFunction(proto, functions)?.node ?? [];
  const nested = proto.attribute.flatMap(({ g, graphs }) => [
    ...(g?.node ?? []),
    ...graphs.flatMap(({ node }) => node),
  ]);
  for (const inner of [...body, ...nested]) {
    addOperators(inner, operatorName(inner), functions, found);
  }
}

function findFunction(
  { opType, domain }: NodeProto,
  functions: readonly FunctionProto[],
): FunctionProto | undefined {
  return functions.find((known) => known.name === opType && known.domain === domain);
}
