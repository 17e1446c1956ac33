import { create } from '@bufbuild/protobuf';
import { attribute, copyWith, valueInfo } from '../../../onnx/messages';
import { NodeProtoSchema, TensorProto_DataType as DataType } from '../../../onnx/proto/onnx_pb';
import type { AttributeProto, NodeProto, ValueInfoProto } from '../../../onnx/proto/onnx_pb';
import type { ExpertMask } from '../../layered-model';
import type { Mixture } from './mixture';

/** A MoE layer and the mask input that excludes some of its experts. */
export interface MaskedMixture {
  readonly mixture: Mixture;
  readonly mask: ExpertMask;
}

export function maskPort({ mask: { input, count } }: MaskedMixture): ValueInfoProto {
  return valueInfo(input, DataType.FLOAT, ['batch', count]);
}

/**
 * Returns a node, followed by the addition of the mask if it computes scores: to the router logits, so
 * that a softmax excludes experts, and to the scores of the selection. `typeOf` returns element types.
 */
export function maskScores(
  node: NodeProto,
  { mixture, mask }: MaskedMixture,
  typeOf: (value: string) => number,
): NodeProto[] {
  const { scores } = mixture.router;
  const score = [scores[0], scores.at(-1)].find((name) => name && node.output.includes(name));
  if (score === undefined) {
    return [node];
  }
  const bare = `${score}/unmasked`;
  const renamed = copyWith(node, {
    output: node.output.map((name) => (name === score ? bare : name)),
  });
  const cast = `${score}/mask`;
  const to = typeOf(score);
  const make = (
    opType: string,
    input: string[],
    output: string,
    attributes: AttributeProto[] = [],
  ): NodeProto =>
    create(NodeProtoSchema, {
      name: `${output}/masked`,
      opType,
      input,
      output: [output],
      attribute: attributes,
    });
  return to === (DataType.FLOAT as number)
    ? [renamed, make('Add', [bare, mask.input], score)]
    : [
        renamed,
        make('Cast', [mask.input], cast, [attribute('to', to)]),
        make('Add', [bare, cast], score),
      ];
}
