import { DataType, GraphBuilder } from '../onnx/graph-builder';
import type { Dimension, Value } from '../onnx/graph-builder';
import { elementCount } from '../checkpoints/lazy-tensor';
import { floatTensor } from '../runtime/tensors';
import type { Tensor } from '../runtime/tensors';
import { once } from './gradients/node-gradient';
import { drawParameter } from './layers';
import type { Initialization, Layer, LayerContext } from './layers';
import { dropoutKey } from './trainable-model';
import type { ForwardGraph, Mode, Parameter, TrainableModel } from './trainable-model';

/** Input of a model built from layers. */
export interface ModelInput {
  readonly name: string;
  /** int64 for indices of an embedding; float32 by default. */
  readonly type?: 'float32' | 'int64';
  readonly shape: readonly Dimension[];
}

interface DrawnParameter extends Parameter {
  readonly initialization: Initialization;
}

/** Model built from layers. */
export class BuiltModel implements TrainableModel {
  public readonly parameters: readonly Parameter[];
  public readonly buffers: readonly Parameter[];
  public readonly inputs: readonly string[];
  private readonly drawn: readonly DrawnParameter[];

  /** Parameters are initialized from `seed`. */
  public constructor(
    private readonly input: ModelInput,
    private readonly layer: Layer,
    private readonly seed: number,
  ) {
    const { parameters, buffers } = this.emit('train');
    this.parameters = parameters;
    this.buffers = buffers;
    this.inputs = [input.name];
    this.drawn = [...parameters, ...buffers];
  }

  public forward(mode: Mode): ForwardGraph {
    return this.emit(mode).forward;
  }

  public async initial(): Promise<Readonly<Record<string, Tensor>>> {
    const tensors = this.drawn.map(({ name, shape, initialization }) => {
      const numbers = drawParameter(initialization, elementCount(shape), this.seed, name);
      return [name, floatTensor(numbers, shape)] as const;
    });
    return Promise.resolve(Object.fromEntries(tensors));
  }

  private emit(mode: Mode): {
    forward: ForwardGraph;
    parameters: DrawnParameter[];
    buffers: DrawnParameter[];
  } {
    const graph = new GraphBuilder('model');
    const { name, type = 'float32', shape } = this.input;
    const dataType = type === 'float32' ? DataType.FLOAT : DataType.INT64;
    const x = { value: graph.input(name, dataType, shape), shape };
    const parameters: DrawnParameter[] = [];
    const buffers: DrawnParameter[] = [];
    const next: Record<string, Value> = {};
    const sizes = new Map<string, Value>();
    let key: Value | undefined;
    let dropouts = 0;
    const createContext = (scope: string): LayerContext => {
      const declare =
        (list: DrawnParameter[], own: string, initialization: Initialization) =>
        (sizes: readonly number[]): Value => {
          list.push({ name: `${scope}${own}`, shape: sizes, initialization });
          return graph.input(`${scope}${own}`, DataType.FLOAT, sizes);
        };
      return {
        graph,
        mode,
        parameter: (own, sizes, initialization) => declare(parameters, own, initialization)(sizes),
        buffer: (own, sizes, value) => declare(buffers, own, { kind: 'constant', value })(sizes),
        update: (buffer, value) => {
          next[buffer] = value;
        },
        dropout: () => {
          key ??= graph.input(dropoutKey, DataType.INT32, []);
          return { key, layer: dropouts++ };
        },
        sizes: ({ value, shape: of }, axes) =>
          once(sizes, of.slice(0, axes).join(), () =>
            graph.op('Slice', [graph.op('Shape', [value]), graph.ints([0]), graph.ints([axes])]),
          ),
        within: (inner) => createContext(`${scope}${inner}.`),
      };
    };
    const output = this.layer(createContext(''), x);
    return { forward: { graph, output, buffers: next }, parameters, buffers };
  }
}
