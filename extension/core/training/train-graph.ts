import { floatAttribute, intAttribute } from '../models/onnx/graph-index';
import { DataType, float } from '../onnx/graph-builder';
import type { GraphBuilder, Value } from '../onnx/graph-builder';
import { backward } from './backward';
import type { Loss } from './losses';
import { createOptimizer } from './optimizers';
import type { Optimizer, OptimizerOptions } from './optimizers';
import type { Parameter, TrainableModel } from './trainable-model';
import { elementCount } from '../checkpoints/lazy-tensor';

/** Options of a training step. */
export interface TrainingOptions {
  readonly loss: Loss;
  readonly optimizer: OptimizerOptions;
  /** Maximum Euclidean norm of all gradients together; larger gradients are scaled down. */
  readonly clipNorm?: number;
  /** Number of batches whose gradients are averaged for one update; 1 by default. */
  readonly accumulate?: number;
  /** True if each step returns the model's output; not supported with cuts. */
  readonly withOutput?: boolean;
  /** Selects the parameters to train; all by default. */
  readonly trains?: (name: string) => boolean;
  /** Selects the parameters that weight decay applies to; all by default. */
  readonly decays?: (name: string) => boolean;
  /**
   * Values at which the graph is cut to save memory (gradient checkpointing; Chen et al. 2016, arXiv 1604.06174): the
   * forward pass stores only values that later segments read, the backward pass recomputes the others. The model must
   * be the same in both modes except for dropout, and have no buffers.
   */
  readonly cuts?: readonly Value[];
}

/** Names of values that training adds to the model's graph. */
export const names = {
  loss: 'loss',
  output: 'model_output',
  norm: 'gradient_norm',
  /** Value of a tensor after the step. */
  next: (name: string): string => `next/${name}`,
  gradient: (parameter: string): string => `gradient/${parameter}`,
  /** Gradient of the loss with respect to a value between two segments. */
  flowing: (value: string): string => `flowing/${value}`,
  /** Value that later segments read. */
  kept: (value: string): string => `kept/${value}`,
  /** Optimizer state of a parameter, or of a group under the name of its first parameter. */
  slot: (slot: string, parameter: string): string => `optimizer/${slot}/${parameter}`,
  scalar: (name: string): string => `step/${name}`,
};

/** Graph of one step, and the tensors that it updates. */
export interface StepGraph {
  readonly graph: GraphBuilder;
  /** Inputs that the outputs `names.next(name)` replace. */
  readonly state: readonly Parameter[];
  /** Inputs that don't change. */
  readonly fixed: readonly string[];
}

/** Emits the model in training mode, its loss and the gradients of the trained parameters. */
function emitGradients(model: TrainableModel, options: TrainingOptions) {
  const { graph, output, buffers } = model.forward('train');
  const { trains = () => true } = options;
  const parameters = model.parameters.filter(({ name }) => trains(name));
  const loss = graph.within('loss', () => options.loss(graph, output));
  const gradients = backward(
    graph,
    loss,
    parameters.map(({ name }) => name),
  );
  graph.output(names.loss, loss, DataType.FLOAT, []);
  if (options.withOutput === true) {
    graph.handOver(names.output, output.value, DataType.FLOAT, output.shape);
  }
  for (const { name, shape } of model.buffers) {
    graph.output(names.next(name), buffers[name] ?? name, DataType.FLOAT, shape);
  }
  const fixed = model.parameters.filter((parameter) => !parameters.includes(parameter));
  return { graph, gradients, parameters, fixed: fixed.map(({ name }) => name) };
}

/** Graph of a step with one batch per update. */
export function stepGraph(model: TrainableModel, options: TrainingOptions): StepGraph {
  const { graph, gradients, parameters, fixed } = emitGradients(model, options);
  const slots = emitUpdate(graph, parameters, gradients, options);
  return { graph, state: [...parameters, ...slots, ...model.buffers], fixed };
}

/** Graph that adds the gradients of one batch to the accumulated gradients. */
export function accumulationGraph(model: TrainableModel, options: TrainingOptions): StepGraph {
  const { graph, gradients, parameters, fixed } = emitGradients(model, options);
  const sums = emitSums(graph, parameters, gradients);
  const read = parameters.map(({ name }) => name);
  return { graph, state: [...sums, ...model.buffers], fixed: [...fixed, ...read] };
}

/** Adds gradients to the accumulated ones in the state; returns these state tensors. */
export function emitSums(
  graph: GraphBuilder,
  parameters: readonly Parameter[],
  gradients: ReadonlyMap<string, Value>,
): Parameter[] {
  return parameters.map(({ name, shape }) => {
    const sum = graph.input(names.gradient(name), DataType.FLOAT, shape);
    const next = graph.op('Add', [sum, gradients.get(name) ?? '']);
    graph.handOver(names.next(sum), next, DataType.FLOAT, shape);
    return { name: sum, shape };
  });
}

/** Graph of the update from the accumulated gradients of `accumulate` batches. */
export function updateGraph(
  graph: GraphBuilder,
  model: TrainableModel,
  options: TrainingOptions,
): StepGraph {
  const { trains = () => true, accumulate = 1 } = options;
  const parameters = model.parameters.filter(({ name }) => trains(name));
  const gradients = new Map(
    parameters.map(({ name, shape }) => {
      graph.input(name, DataType.FLOAT, shape);
      const sum = graph.input(names.gradient(name), DataType.FLOAT, shape);
      return [name, graph.op('Mul', [sum, graph.scalar(1 / accumulate)])] as const;
    }),
  );
  const slots = emitUpdate(graph, parameters, gradients, options);
  const sums = parameters.map(({ name }) => names.gradient(name));
  return { graph, state: [...parameters, ...slots], fixed: sums };
}

/** Elements up to which the launch overhead dominates an operator's time on the CPU. */
const smallElements = 4096;

/**
 * Groups of parameters that the optimizer updates together. Small parameters are concatenated to one vector: a dozen
 * operators for each of a hundred biases would take longer than the biases themselves. Large ones stay separate, since
 * concatenating copies them. Small groups are emitted first: ONNX Runtime runs independent nodes in reverse order of
 * emission, so a large parameter is updated while the operands of its gradient are still in the CPU caches.
 * @param kindOf parameters of different kinds are never grouped
 */
export function flatGroups(
  parameters: readonly Parameter[],
  kindOf: (name: string) => boolean,
): FlatGroup[] {
  const isSmall = ({ shape }: Parameter): boolean => elementCount(shape) <= smallElements;
  const small = parameters.filter(isSmall);
  const groups = [
    ...[true, false].map((kind) => small.filter(({ name }) => kindOf(name) === kind)),
    ...parameters.filter((parameter) => !isSmall(parameter)).map((parameter) => [parameter]),
  ];
  return groups.filter(({ length }) => length > 0).map((group) => new FlatGroup(group));
}

/** Tensors of known shapes that a graph handles as one vector; a single tensor keeps its shape. */
class FlatGroup {
  public constructor(public readonly parameters: readonly Parameter[]) {}

  /** Shape of the joined value. */
  public get shape(): readonly number[] {
    const [only, ...more] = this.parameters.map(({ shape }) => shape);
    return only !== undefined && more.length === 0
      ? only
      : [this.sizes.reduce((sum, size) => sum + size, 0)];
  }

  /** Concatenates values with the parameters' shapes, in order. */
  public join(graph: GraphBuilder, values: readonly Value[]): Value {
    const [only = '', ...more] = values;
    if (more.length === 0) {
      return only;
    }
    const vectors = values.map((value, i) =>
      this.parameters[i]?.shape.length === 1
        ? value
        : graph.op('Reshape', [value, graph.ints([-1])]),
    );
    return graph.op('Concat', vectors, { axis: 0 });
  }

  /** Splits a joined value into the parameters' shapes. */
  public split(graph: GraphBuilder, joined: Value): Value[] {
    if (this.parameters.length === 1) {
      return [joined];
    }
    const { sizes } = this;
    const parts = graph.ops('Split', [joined, graph.ints(sizes)], sizes.length, { axis: 0 });
    return this.parameters.map(({ shape }, i) =>
      shape.length === 1
        ? (parts[i] ?? '')
        : graph.op('Reshape', [parts[i] ?? '', graph.ints(shape)]),
    );
  }

  private get sizes(): number[] {
    return this.parameters.map(({ shape }) => elementCount(shape));
  }
}

/** Emits clipping and the optimizer; returns the optimizer's state. */
function emitUpdate(
  graph: GraphBuilder,
  parameters: readonly Parameter[],
  gradients: ReadonlyMap<string, Value>,
  options: TrainingOptions,
): Parameter[] {
  return graph.within('update', () => {
    const optimizer = createOptimizer(options.optimizer);
    const { decays = () => true } = options;
    const clipped = emitClipping(graph, gradients, options.clipNorm);
    const scalars = Object.fromEntries(
      scalarNames(optimizer).map((name) => [
        name,
        graph.input(names.scalar(name), DataType.FLOAT, []),
      ]),
    );
    return flatGroups(parameters, decays).flatMap((group) => {
      const own = group.parameters.map(({ name }) => name);
      const states = optimizer.slots.map((slot) => ({
        name: names.slot(slot, own[0] ?? ''),
        shape: group.shape,
      }));
      const gradient = group.join(
        graph,
        own.map((name) => clipped.get(name) ?? ''),
      );
      const update = optimizer.emit(graph, {
        parameter: group.join(graph, own),
        gradient,
        combined: (...terms) => emitCombined(graph, gradient, ...terms),
        slots: Object.fromEntries(
          optimizer.slots.map((slot, i) => {
            const { name = '', shape } = states[i] ?? {};
            return [slot, graph.input(name, DataType.FLOAT, shape)];
          }),
        ),
        scalars,
        decayed: decays(own[0] ?? ''),
      });
      const handOn = (list: readonly Parameter[], values: readonly Value[]): void => {
        list.forEach(({ name, shape }, i) => {
          graph.handOver(names.next(name), values[i] ?? '', DataType.FLOAT, shape);
        });
      };
      handOn(group.parameters, group.split(graph, update.parameter));
      handOn(
        states,
        optimizer.slots.map((slot) => update.slots[slot] ?? ''),
      );
      return states;
    });
  });
}

/** See {@link UpdateInputs.combined}. */
function emitCombined(
  graph: GraphBuilder,
  gradient: Value,
  scale: number,
  addend: Value,
  factor: number,
): Value {
  const product = graph.takeBack('Gemm', gradient);
  if (product !== undefined) {
    const [a = '', b = ''] = product.input;
    return graph.op('Gemm', [a, b, addend], {
      transA: intAttribute(product, 'transA', 0),
      transB: intAttribute(product, 'transB', 0),
      alpha: float(scale * floatAttribute(product, 'alpha', 1)),
      beta: float(factor),
    });
  }
  const scaled = (value: Value, by: number): Value =>
    by === 1 ? value : graph.op('Mul', [value, graph.scalar(by)]);
  return graph.op('Add', [scaled(gradient, scale), scaled(addend, factor)]);
}

/** Names of the scalars that an optimizer reads at each step. */
function scalarNames(optimizer: Optimizer): string[] {
  return Object.keys(optimizer.scalars(1, 1));
}

/** g · min(1, most / (‖g‖ + 1e-6)) over all gradients together, like PyTorch's clip_grad_norm_. */
function emitClipping(
  graph: GraphBuilder,
  gradients: ReadonlyMap<string, Value>,
  most: number | undefined,
): ReadonlyMap<string, Value> {
  if (most === undefined) {
    return gradients;
  }
  const squares = [...gradients.values()].map((gradient) =>
    graph.op('ReduceSumSquare', [gradient], { keepdims: 0 }),
  );
  const norm = graph.op('Sqrt', [graph.op('Sum', squares)]);
  graph.output(names.norm, norm, DataType.FLOAT, []);
  const ratio = graph.op('Div', [graph.scalar(most), graph.op('Add', [norm, graph.scalar(1e-6)])]);
  const factor = graph.op('Min', [ratio, graph.scalar(1)]);
  return new Map(
    [...gradients].map(([name, gradient]) => [name, graph.op('Mul', [gradient, factor])]),
  );
}
