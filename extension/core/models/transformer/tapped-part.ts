import { DataType, GraphBuilder } from '../../onnx/graph-builder';
import type { GraphPart, InputPort } from '../layered-model';
import type { LinearLayer } from '../matrix-encoding';

/** A part that is emitted rather than cut out of a file. */
export type BuilderPart = Omit<GraphPart, 'build'> & { readonly build: () => GraphBuilder };

/** Memory needs of a session. */
export type RunningCosts = Pick<GraphPart, 'bytes' | 'mappedBytes' | 'needsPrepacking'>;

/** A part that `emit` writes. */
export function emittedPart(
  part: Omit<BuilderPart, 'build'>,
  emit: (graph: GraphBuilder) => void,
): BuilderPart {
  return {
    ...part,
    build: () => {
      const graph = new GraphBuilder(part.key);
      emit(graph);
      return graph;
    },
  };
}

/** Declares a model's inputs: int64, or float32. */
export function declareInputs(graph: GraphBuilder, inputs: readonly InputPort[]): void {
  for (const { name, dtype, shape = [] } of inputs) {
    graph.input(name, dtype === 'I64' ? DataType.INT64 : DataType.FLOAT, shape);
  }
}

/** The part with additional outputs for the inputs of these linear layers, or other marked rows with the same width. */
export function tappedPart(
  part: BuilderPart,
  layers: readonly Pick<LinearLayer, 'id' | 'in'>[],
): { readonly part: GraphPart; readonly taps: ReadonlyMap<string, string> } {
  const { marks } = part.build();
  const widths = new Map(
    layers.map((layer) => [marks.get(layer.id) ?? missing(layer.id), layer.in]),
  );
  const names = new Map([...widths.keys()].map((rows, i) => [rows, `tap.${i}`]));
  const taps = layers.map(({ id }): [string, string] => [
    id,
    names.get(marks.get(id) ?? '') ?? missing(id),
  ]);
  return {
    part: {
      ...part,
      key: `${part.key}.tapped`,
      outputs: [...part.outputs, ...names.values()],
      build: () => {
        const graph = part.build();
        for (const [rows, name] of names) {
          graph.output(name, rows, DataType.FLOAT, ['rows', widths.get(rows) ?? 0]);
        }
        return graph;
      },
    },
    taps: new Map(taps),
  };
}

function missing(id: string): never {
  throw new Error(`nothing goes into ${id}`);
}
