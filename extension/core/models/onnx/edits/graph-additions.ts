import { nestedGraphs } from '../../../checkpoints/nested-weights';
import { dataTypeName } from '../../../checkpoints/onnx-file';
import type { OnnxFile, OnnxInitializer } from '../../../checkpoints/onnx-file';
import { GraphBuilder } from '../../../onnx/graph-builder';
import type { ExternalData } from '../../../onnx/graph-builder';
import { copyWith, externalTensor } from '../../../onnx/messages';
import type { GraphProto, TensorProto } from '../../../onnx/proto/onnx_pb';
import { valuesRead } from './graph-remains';

/** Builds nodes that are to be added to the graph of a file, under names other than `taken`. */
export function additionsTo({ model }: OnnxFile, taken: Iterable<string>): GraphBuilder {
  return GraphBuilder.over('additions', {
    nodes: [],
    inputs: [],
    outputs: [],
    constants: [],
    weights: [],
    opsets: model.opsetImport,
    reserved: taken,
  });
}

/**
 * Model file with a new main graph. Added nodes read weights and constants of `builder` from their original files.
 * @param isKept returns true for names of weights that the new graph still uses
 */
export function withAdditions(
  file: OnnxFile,
  main: GraphProto,
  { externalData, opsetImports, graph: built }: GraphBuilder,
  isKept: (name: string) => boolean,
): OnnxFile {
  const placed = new Set(externalData.map(({ name }) => name));
  const constants = built.initializer.filter(({ name }) => !placed.has(name));
  const added = [...externalData.map(stored), ...constants.map((tensor) => inline(tensor, file))];
  const initializers = [...file.initializers.values()].filter(({ name }) => isKept(name));
  const graph = copyWith(main, {
    initializer: [
      ...main.initializer.filter(({ name }) => isKept(name)),
      ...externalData.map((data) => externalTensor(data, { location: '', offset: 0 })),
      ...constants,
    ],
  });
  return {
    ...file,
    graph,
    model: copyWith(file.model, { graph, opsetImport: [...opsetImports] }),
    initializers: new Map([...initializers, ...added].map((data) => [data.name, data])),
    files: [...new Set([...file.files, ...externalData.map((data) => data.file)])],
  };
}

/** The file without the weights that nothing in its graph reads. */
export function withoutUnread(file: OnnxFile): OnnxFile {
  const read = valuesRead(file.graph);
  const initializer = file.graph.initializer.filter(({ name }) => read.has(name));
  // Older files list weights among the inputs as well.
  const input = file.graph.input.filter(
    ({ name }) => read.has(name) || !file.initializers.has(name),
  );
  const graph = copyWith(file.graph, { initializer, input });
  const left = [...file.initializers].filter(([name]) => read.has(name));
  return {
    ...file,
    graph,
    model: copyWith(file.model, { graph }),
    initializers: new Map(left),
  };
}

/** Names of everything in a graph, and in those inside of its nodes. */
export function namesIn(graph: GraphProto): Set<string> {
  const names = new Set<string>();
  const collect = ({ input, initializer, node }: GraphProto): void => {
    [...input, ...initializer].forEach(({ name }) => names.add(name));
    for (const one of node) {
      [one.name, ...one.output].forEach((name) => names.add(name));
      nestedGraphs(one).forEach(collect);
    }
  };
  collect(graph);
  return names;
}

/** Reserves and returns the name, or a variant of it that is free. */
export function freeName(wanted: string, names: Set<string>): string {
  let name = wanted;
  for (let count = 1; names.has(name); count++) {
    name = `${wanted}.${count}`;
  }
  names.add(name);
  return name;
}

function stored(data: ExternalData): OnnxInitializer {
  const { name, dataType, shape: dims, file, offset, length } = data;
  const dtype = dataTypeName(dataType);
  return { name, dataType, dtype, dims, file, offset, length, inline: undefined, mappable: true };
}

function inline(tensor: TensorProto, { path: file }: OnnxFile): OnnxInitializer {
  const { name, dataType } = tensor;
  return {
    name,
    dataType,
    dtype: dataTypeName(dataType),
    dims: tensor.dims.map(Number),
    file,
    offset: 0,
    length: tensor.rawData.length,
    inline: tensor,
    mappable: false,
  };
}
