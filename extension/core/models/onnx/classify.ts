import type { FunctionProto, NodeProto } from '../../onnx/proto/onnx_pb';
import type { BranchKind } from './onnx-summary';
import { operatorName } from './graph-index';
import type { GraphIndex, GraphNode } from './graph-index';

const fusedAttention =
  /(?:^|:)(?:Attention|MultiHeadAttention|GroupQueryAttention|PackedAttention|PackedMultiHeadAttention|DecoderMaskedMultiHeadAttention|SparseAttention|PagedAttention|QAttention|LongformerAttention|LinearAttention)$/;
const fusedExperts = /(?:^|:)(?:MoE|QMoE)$/;
const convolutions = /(?:^|:)(?:Conv|ConvTranspose|ConvInteger|QLinearConv|FusedConv|NhwcConv)$/;
const products =
  /(?:^|:)(?:MatMul|Gemm|Einsum|MatMulNBits|MatMulBnb4|MatMulInteger|QLinearMatMul|MatMulIntegerToFloat|DynamicQuantizeMatMul|FusedMatMul|FusedGemm|TransposeMatMul|QGemm|GemmFastGelu|GemmFloat8)$/;
const activations =
  /(?:^|:)(?:Relu|LeakyRelu|Gelu|FastGelu|BiasGelu|QuickGelu|Erf|Tanh|Sigmoid|Swish|SiLU|Silu|HardSwish|HardSigmoid|Elu|Selu|Celu|Mish|Softplus|PRelu|Clip|FusedGemm|GemmFastGelu|BiasSplitGelu)$/;

/** Whether an operator multiplies by weights, by its name. */
export function hasWeightsByKind(op: string): boolean {
  return (
    products.test(op) || convolutions.test(op) || fusedExperts.test(op) || fusedAttention.test(op)
  );
}

/** What a branch computes, by the operators inside. */
export function classifyBranch(
  nodes: ReadonlySet<GraphNode>,
  index: GraphIndex,
  functions: readonly FunctionProto[],
): BranchKind {
  const ops = new Set<string>();
  for (const node of nodes) {
    addOperators(node.proto, node.op, functions, ops);
  }
  const some = (pattern: RegExp): boolean => [...ops].some((op) => pattern.test(op));
  const scores = [...nodes].some(
    ({ op, inputs }) =>
      products.test(op) && inputs.filter((input) => !index.constants.has(input)).length > 1,
  );
  const hasFunctions = [...nodes].some(({ proto }) => findFunction(proto, functions) !== undefined);
  if (some(fusedAttention) || (ops.has('Softmax') && (scores || hasFunctions))) {
    return 'attention';
  }
  if (some(fusedExperts) || ops.has('TopK')) {
    return 'expert';
  }
  if (some(convolutions)) {
    return 'convolution';
  }
  return some(products) && some(activations) ? 'feedforward' : 'other';
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
