import type { NodeProto, TensorProto } from '../../onnx/proto/onnx_pb';

function find(node: NodeProto, name: string) {
  return node.attribute.find((attribute) => attribute.name === name);
}

/** Integer attribute, or ONNX's default. */
export function intAttribute(node: NodeProto, name: string, absent: number): number {
  const found = find(node, name);
  return found === undefined ? absent : Number(found.i);
}

export function floatAttribute(node: NodeProto, name: string, absent: number): number {
  return find(node, name)?.f ?? absent;
}

export function intsAttribute(node: NodeProto, name: string): number[] | undefined {
  return find(node, name)?.ints.map(Number);
}

export function stringAttribute(node: NodeProto, name: string, absent: string): string {
  const found = find(node, name);
  return found === undefined ? absent : new TextDecoder().decode(found.s);
}

export function tensorAttribute(node: NodeProto, name: string): TensorProto | undefined {
  return find(node, name)?.t;
}

/** Returns the name of an output, and adds it to the node if it is missing. */
export function outputName({ output }: NodeProto, place: number): string {
  while (output.length <= place) {
    output.push('');
  }
  const known = output[place] ?? '';
  const name = known === '' ? `${output[0] ?? ''}/output_${place}` : known;
  output[place] = name;
  return name;
}
