import type { NodeProto } from '../../../onnx/proto/onnx_pb';
import type { GraphIndex } from '../graph-index';
import { intAttribute } from '../graph-index';
import type { OnnxModel } from '../stream/graph-stream';

/** Gather that selects rows by ids. */
export interface Lookup {
  readonly node: NodeProto;
  /** Initializer of the table, possibly before a cast. */
  readonly table: string;
}

/** Nodes that hand ids on to where they are looked up. */
const idNodes = /^(?:Cast|Identity|Reshape|Squeeze|Unsqueeze)$/;

/** Returns the tables that an input of ids indexes. */
export function findLookups(index: GraphIndex, ids: string): Lookup[] {
  return index.consumersOf(ids).flatMap(({ op, proto, outputs }) => {
    const [first = '', second] = proto.input;
    if (op === 'Gather' && second === ids) {
      return [{ node: proto, table: skipCasts(index, first) }];
    }
    return idNodes.test(op) && first === ids
      ? outputs.flatMap((output) => findLookups(index, output))
      : [];
  });
}

function skipCasts(index: GraphIndex, value: string): string {
  const producer = index.producers.get(value);
  return producer !== undefined && /^(?:Cast|Identity)$/.test(producer.op)
    ? skipCasts(index, producer.proto.input[0] ?? '')
    : value;
}

/** Rows of the smallest table that each input is looked up in, by the input's name. */
export function tableRows({
  index,
  file,
}: Pick<OnnxModel, 'index' | 'file'>): Record<string, number> {
  return Object.fromEntries(
    index.inputs.flatMap(({ name }) => {
      const rows = findLookups(index, name).flatMap(
        ({ node, table }) =>
          file.initializers.get(table)?.dims[intAttribute(node, 'axis', 0)] ?? [],
      );
      return rows.length === 0 ? [] : [[name, Math.min(...rows)]];
    }),
  );
}
