import { nestedGraphs } from '../../../checkpoints/nested-weights';
import type { FunctionProto } from '../../../onnx/proto/onnx_pb';
import type { SublayerKind } from '../../model-summary';
import { standsForConvolution } from './encoding-regions';
import { operatorName, intAttribute, intsAttribute } from '../graph-index';
import type { GraphIndex, GraphNode } from '../graph-index';

const fusedAttention =
  /(?:^|:)(?:Attention|MultiHeadAttention|GroupQueryAttention|Packed(?:MultiHead)?Attention|DecoderAttention|DecoderMasked(?:MultiHead|Self)Attention|(?:Dynamic)?SparseAttention|(?:Sparse)?PagedAttention|QAttention|(?:QOrdered)?LongformerAttention|QOrderedAttention)$/;
/** Attention without a softmax, whose state is as large however long the text. */
const recurrences = /(?:^|:)(?:LinearAttention|GatedDeltaNet)$/;
/** Operators that route tokens to experts and run them. */
export const fusedExperts = /(?:^|:)(?:MoE|QMoE|MoEPacked)$/;
const convolutions =
  /(?:^|:)(?:Conv|ConvTranspose|ConvInteger|QLinearConv|FusedConv|Nhwc(?:Fused)?Conv|(?:Varlen)?CausalConvWithState)$/;
const weightProducts =
  /(?:^|:)(?:MatMul|Gemm|Einsum|MatMulNBits(?:Mlp|Qkv|QLoRA)?|MatMulBnb4|MatMulFpQ4|MatMulBlockQuantizedFp[48]Weight|MatMulPacked|QOrderedMatMul|MatMulInteger|QLinearMatMul|MatMulIntegerToFloat|DynamicQuantizeMatMul|FusedMatMul(?:Activation)?|FusedGemm|TransposeMatMul|QGemm|GemmFastGelu|GemmFloat8)$/;
const softmax = /(?:^|:)(?:QLinear)?Softmax$/;
const activations =
  /(?:^|:)(?:Relu|LeakyRelu|Gelu|FastGelu|BiasGelu|QuickGelu|Erf|Tanh|Sigmoid|QLinearSigmoid|QLinearLeakyRelu|Swish|SiLU|Silu|HardSwish|HardSigmoid|Elu|Selu|Celu|Mish|Softplus|PRelu|Clip|FusedGemm|FusedMatMulActivation|GemmFastGelu|BiasSplitGelu|SwiGLU|ScaledSiLU|QOrderedGelu|MatMulNBitsMlp)$/;

/** True if operators of this name multiply by weights. */
export function hasWeightsByKind(op: string): boolean {
  return (
    weightProducts.test(op) ||
    convolutions.test(op) ||
    fusedExperts.test(op) ||
    recurrences.test(op) ||
    fusedAttention.test(op)
  );
}

/** Classifies a branch by its operators. */
export function classifyBranch(
  nodes: ReadonlySet<GraphNode>,
  index: GraphIndex,
  functions: readonly FunctionProto[],
): SublayerKind {
  const ops = listOperators(nodes, functions);
  const someOp = (pattern: RegExp): boolean => [...ops].some((op) => pattern.test(op));
  const products = [...nodes].filter((node) => multipliesValues(node, index));
  const scores = [...nodes].flatMap((node) =>
    softmax.test(node.op) ? productsBehind(node, nodes, index) : [],
  );
  const fused = [...nodes].filter(({ op }) => fusedAttention.test(op));
  if (fused.length > 0 || scores.some((node) => multipliesValues(node, index))) {
    const readers = fused.length > 0 ? fused : products;
    return readers.every((node) => readsOutside(node, nodes, index))
      ? 'cross-attention'
      : 'attention';
  }
  if (someOp(recurrences)) {
    return 'mixer';
  }
  if (someOp(fusedExperts) || ops.has('TopK')) {
    return 'expert';
  }
  // Inside of functions it is not known what is multiplied by what.
  const called = functions.some(({ domain, name }) =>
    [...nodes].some(({ proto }) => proto.domain === domain && proto.opType === name),
  );
  if (someOp(fusedAttention) || (called && ops.has('Softmax'))) {
    return 'attention';
  }
  if (ops.has('Scan') || (someOp(weightProducts) && [...nodes].some(isAlongSequence))) {
    return 'mixer';
  }
  if (someOp(convolutions) || [...nodes].some(({ proto }) => standsForConvolution(proto))) {
    return 'convolution';
  }
  return someOp(weightProducts) && someOp(activations) ? 'feedforward' : 'other';
}

/** True for depthwise 1D convolutions. */
function isAlongSequence({ op, proto }: GraphNode): boolean {
  return (
    convolutions.test(op) &&
    intAttribute(proto, 'group', 1) > 1 &&
    intsAttribute(proto, 'kernel_shape')?.length === 1
  );
}

/** True for matmuls of two values that both depend on the inputs. */
function multipliesValues({ op, inputs }: GraphNode, index: GraphIndex): boolean {
  return (
    weightProducts.test(op) && inputs.filter((input) => !index.constants.has(input)).length > 1
  );
}

/** Nearest matmuls before a node, such as those that compute attention scores. */
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

/** True if the keys or values of an attention come from outside the branch, such as from an encoder. */
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

/** Operators of a branch, including those of nested graphs and functions. */
function listOperators(
  nodes: ReadonlySet<GraphNode>,
  functions: readonly FunctionProto[],
): ReadonlySet<string> {
  const bodies = new Map(functions.map((known) => [functionKey(known.domain, known.name), known]));
  const found = new Set([...nodes].map(({ op }) => op));
  const open = [...nodes].map(({ proto }) => proto);
  for (let proto = open.pop(); proto !== undefined; proto = open.pop()) {
    const body = bodies.get(functionKey(proto.domain, proto.opType))?.node ?? [];
    for (const inner of [...body, ...nestedGraphs(proto).flatMap(({ node }) => node)]) {
      const op = operatorName(inner);
      if (!found.has(op)) {
        found.add(op);
        open.push(inner);
      }
    }
  }
  return found;
}

function functionKey(domain: string, name: string): string {
  return `${domain}:${name}`;
}
