import { floatAttribute, intAttribute } from '../models/onnx/node-attributes';
import { DataType, float } from '../onnx/graph-builder';
import type { GraphBuilder, Value } from '../onnx/graph-builder';
import { backward } from './backward';
import { flatGroups } from './flat-group';
import type { Loss } from './losses';
import { createOptimizer } from './optimizers';
import type { Optimizer, OptimizerOptions } from './optimizers';
import type { Parameter, TrainableModel } from './trainable-model';

/** What a step of training consists of. */
export interface TrainingOptions {
  readonly loss: Loss;
  readonly optimizer: OptimizerOptions;
  /** Largest Euclidean norm of all gradients together; larger ones are scaled down to it. */
  readonly clipNorm?: number;
  /** Batches whose gradients are averaged for one update; 1 if absent. */
  readonly accumulate?: number;
  /** Whether each step gives the model's output; not where its graph is cut. */
  readonly withOutput?: boolean;
  /** Which parameters are trained; all if absent. */
  readonly trains?: (name: string) => boolean;
  /** On which parameters weight decay acts; on all if absent. */
  readonly decays?: (name: string) => boolean;
  /**
   * Where the model's graph is cut for less memory: only what is needed behind a cut is kept on the way forward, and
   * the rest is computed again on the way back (Chen et al. 2016, arXiv 1604.06174). Such a model is the same in both
   * modes, but for dropout, and has no buffers.
   */
  readonly cuts?: readonly Value[];
}

/** Names of values of training graphs that are not the model's. */
export const names = {
  loss: 'loss',
  output: 'model_output',
  norm: 'gradient_norm',
  /** What a tensor is after the step. */
  next: (name: string): string => `next/${name}`,
  gradient: (parameter: string): string => `gradient/${parameter}`,
  /** Of the loss, by a value between two segments. */
  flowing: (value: string): string => `flowing/${value}`,
  /** A value that later segments read. */
  kept: (value: string): string => `kept/${value}`,
  /** Of a parameter, or of a group that is updated together, by its first. */
  slot: (slot: string, parameter: string): string => `optimizer/${slot}/${parameter}`,
  scalar: (name: string): string => `step/${name}`,
};

/** A graph of one step, and the tensors that it hands on to the next. */
export interface StepGraph {
  readonly graph: GraphBuilder;
  /** Inputs that the outputs `names.next(name)` replace. */
  readonly state: readonly Parameter[];
  /** Inputs that stay as they are. */
  readonly fixed: readonly string[];
}

/** Emits the model in training mode, its loss and the gradients of the parameters that are trained. */
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

/** One batch, one update. */
export function stepGraph(model: TrainableModel, options: TrainingOptions): StepGraph {
  const { graph, gradients, parameters, fixed } = emitGradients(model, options);
  const slots = emitUpdate(graph, parameters, gradients, options);
  return { graph, state: [...parameters, ...slots, ...model.buffers], fixed };
}

/** Adds the gradients of one batch to those of the batches before it. */
export function accumulationGraph(model: TrainableModel, options: TrainingOptions): StepGraph {
  const { graph, gradients, parameters, fixed } = emitGradients(model, options);
  const sums = emitSums(graph, parameters, gradients);
  const read = parameters.map(({ name }) => name);
  return { graph, state: [...sums, ...model.buffers], fixed: [...fixed, ...read] };
}

/** Adds gradients to what the state has of them; gives that. */
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

/** The update alone, from gradients that `accumulate` batches have added up. */
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

/** Emits clipping and the optimiser; gives the optimiser's state. */
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

/** Names of the numbers that an optimiser takes at each step. */
function scalarNames(optimizer: Optimizer): string[] {
  return Object.keys(optimizer.scalars(1, 1));
}

/** g · min(1, most / (‖g‖ + 1e-6)) over all gradients together, as PyTorch's clip_grad_norm_. */
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
