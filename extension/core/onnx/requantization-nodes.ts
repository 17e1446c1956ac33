import { create } from '@bufbuild/protobuf';
import { NodeProtoSchema } from './proto/onnx_pb';
import type { NodeProto } from './proto/onnx_pb';

/**
 * One term of a QLinearAdd, requantized to the scale of the sum, as if the other term were zero. The term is input 0 or
 * 3, followed by its scale and zero point.
 */
export function requantizationNodes(
  { input }: NodeProto,
  place: number,
  resolve: (name: string) => string,
  output: string,
): NodeProto[] {
  const wide = `${output}/wide`;
  const make = (opType: string, inputs: readonly string[], made: string): NodeProto =>
    create(NodeProtoSchema, {
      name: `${made}/${opType}`,
      opType,
      // An absent zero point is 0.
      input: inputs.filter((name) => name !== '').map(resolve),
      output: [made],
    });
  return [
    make('DequantizeLinear', input.slice(place, place + 3), wide),
    make('QuantizeLinear', [wide, ...input.slice(6)], output),
  ];
}
