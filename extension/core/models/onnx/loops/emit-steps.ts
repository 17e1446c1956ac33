import { create } from '@bufbuild/protobuf';
import { DataType } from '../../../onnx/graph-builder';
import type { GraphBuilder } from '../../../onnx/graph-builder';
import { attribute, copyWith } from '../../../onnx/messages';
import type { Attribute } from '../../../onnx/messages';
import { NodeProtoSchema } from '../../../onnx/proto/onnx_pb';
import type { GraphProto, NodeProto, ValueInfoProto } from '../../../onnx/proto/onnx_pb';
import { renameInputs } from '../edits/node-edits';
import { GraphIndex, operatorName } from '../graph-index';
import type { KnownSteps } from './known-steps';

/** First opset whose Unsqueeze has its axes as an input. */
const axesAsInput = 13;

interface Emitted {
  readonly nodes: readonly NodeProto[];
  /** Notes of the body on its values, for each step. */
  readonly valueInfo: readonly ValueInfoProto[];
}

/**
 * Nodes of all steps in sequence, which produce the outputs of the Loop or Scan. `builder` receives the constants they
 * read. Names in step 2 begin with `scope.2/`.
 */
export function emitSteps(
  { body, count, counters, states, items, results }: KnownSteps,
  builder: GraphBuilder,
  scope: string,
  file: string,
): Emitted {
  const nodes: NodeProto[] = [];
  const valueInfo: ValueInfoProto[] = [];
  const ordered = [...new Set(new GraphIndex(body, file).nodes.map(({ proto }) => proto))];
  const counterShape = rank(body.input[0]) === 1 ? [1] : [];
  const given = results.map((): string[] => []);
  let current = states.map(({ first }) => first);
  const add = (
    opType: string,
    input: readonly string[],
    output: string,
    attributes: Readonly<Record<string, Attribute>> = {},
  ): string => {
    nodes.push(
      create(NodeProtoSchema, {
        name: output,
        opType,
        input: [...input],
        output: [output],
        attribute: Object.entries(attributes).map(([name, value]) => attribute(name, value)),
      }),
    );
    return output;
  };
  for (let step = 0; step < count; step++) {
    const inside = (name: string): string => `${scope}.${step}/${name}`;
    const values = new Map(states.map(({ input }, i) => [input, current[i] ?? '']));
    if (counters !== undefined) {
      const one = builder.ints([1], counterShape);
      const { condition } = counters;
      values.set(counters.step, builder.ints([step], counterShape));
      values.set(condition, add('Cast', [one], inside(condition), { to: DataType.BOOL }));
    }
    for (const { inside: input, outside, axis, reversed } of items) {
      const place = builder.ints([reversed ? count - 1 - step : step], []);
      values.set(input, add('Gather', [outside, place], inside(input), { axis }));
    }
    nodes.push(...emitBody(ordered, values, inside));
    valueInfo.push(...stepValueInfos(body, values));
    current = states.map(({ output }) => values.get(output) ?? output);
    results.forEach(({ inside: output, axis }, i) => {
      const [part, row] = [values.get(output) ?? output, inside(`${output}/row`)];
      given[i]?.push(
        builder.opset < axesAsInput
          ? add('Unsqueeze', [part], row, { axes: [axis] })
          : add('Unsqueeze', [part, builder.ints([axis])], row),
      );
    });
  }
  states.forEach(({ last }, i) => last !== '' && add('Identity', [current[i] ?? ''], last));
  results.forEach(({ outside, axis, reversed }, i) => {
    const parts = given[i] ?? [];
    if (outside !== '') {
      add('Concat', reversed ? parts.toReversed() : parts, outside, { axis });
    }
  });
  return { nodes, valueInfo };
}

/** Returns the nodes of a body over `values`, and adds the outputs of the body to `values`. */
function emitBody(
  body: readonly NodeProto[],
  values: Map<string, string>,
  inside: (name: string) => string,
): NodeProto[] {
  return body.flatMap((node) => {
    const [input = ''] = node.input;
    const [output = ''] = node.output;
    if (operatorName(node) === 'Identity') {
      // Stacks pass from step to step like this. Their slices are found by the original name.
      values.set(output, values.get(input) ?? input);
      return [];
    }
    const copy = renameInputs(node, (name) => values.get(name) ?? name);
    node.output.filter((name) => name !== '').forEach((name) => values.set(name, inside(name)));
    return [
      copyWith(copy, {
        name: inside(node.name === '' ? output : node.name),
        output: node.output.map((name) => values.get(name) ?? name),
        // Stack traces would be there as often as there are steps.
        metadataProps: node.metadataProps.filter(({ key }) => key === 'namespace'),
      }),
    ];
  });
}

/** Value infos of a body with the value names of a step. */
function stepValueInfos(
  { valueInfo, output }: GraphProto,
  values: ReadonlyMap<string, string>,
): ValueInfoProto[] {
  return [...valueInfo, ...output].flatMap((info) => {
    const name = values.get(info.name);
    return name === undefined ? [] : [copyWith(info, { name })];
  });
}

function rank(info: ValueInfoProto | undefined): number | undefined {
  const value = info?.type?.value;
  return value?.case === 'tensorType' ? value.value.shape?.dim.length : undefined;
}
