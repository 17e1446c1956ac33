import type { GraphBuilder, Value } from '../onnx/graph-builder';

/** Stochastic gradient descent as PyTorch defines it: g += λw; v = μv + g; w −= η·v, or η·(g + μv). */
export interface SgdOptions {
  readonly kind: 'sgd';
  readonly momentum?: number;
  readonly nesterov?: boolean;
  readonly weightDecay?: number;
}

/** Adam (Kingma and Ba 2015, algorithm 1), or with decoupled decay (Loshchilov and Hutter 2019). */
export interface AdamOptions {
  readonly kind: 'adam' | 'adamw';
  readonly betas?: readonly [number, number];
  readonly epsilon?: number;
  readonly weightDecay?: number;
}

export type OptimizerOptions = SgdOptions | AdamOptions;

/** One parameter, or several joined to a vector, in the update. */
export interface UpdateInputs {
  readonly parameter: Value;
  readonly gradient: Value;
  /** State of the optimiser, of the parameter's shape, by name. */
  readonly slots: Readonly<Record<string, Value>>;
  /** Numbers that change from step to step, float32 without dimensions, by name. */
  readonly scalars: Readonly<Record<string, Value>>;
  /** Whether weight decay acts on it. */
  readonly decayed: boolean;
}

export interface Update {
  readonly parameter: Value;
  readonly slots: Readonly<Record<string, Value>>;
}

/** An optimiser as nodes of the graph. */
export interface Optimizer {
  /** Names of the state it keeps for each parameter, zero at first. */
  readonly slots: readonly string[];
  /** The numbers of step `step`, counted from 1. */
  readonly scalars: (learningRate: number, step: number) => Readonly<Record<string, number>>;
  readonly emit: (graph: GraphBuilder, inputs: UpdateInputs) => Update;
}

export function createOptimizer(options: OptimizerOptions): Optimizer {
  return options.kind === 'sgd' ? sgd(options) : adam(options);
}

function sgd({ momentum = 0, nesterov = false, weightDecay = 0 }: SgdOptions): Optimizer {
  return {
    slots: momentum === 0 ? [] : ['momentum'],
    scalars: (learningRate) => ({ learningRate }),
    emit: (graph, { parameter, gradient, slots, scalars, decayed }) => {
      const scaled = scaledBy(graph);
      const g =
        weightDecay === 0 || !decayed
          ? gradient
          : graph.op('Add', [gradient, scaled(parameter, weightDecay)]);
      const { momentum: velocity } = slots;
      const next = velocity === undefined ? g : graph.op('Add', [scaled(velocity, momentum), g]);
      const direction =
        velocity !== undefined && nesterov ? graph.op('Add', [g, scaled(next, momentum)]) : next;
      const step = graph.op('Mul', [direction, scalars['learningRate'] ?? '']);
      return {
        parameter: graph.op('Sub', [parameter, step]),
        slots: velocity === undefined ? {} : { momentum: next },
      };
    },
  };
}

/**
 * With the slots sum = Σ β₁ᵏ·g and squares = Σ β₂ᵏ·g² over the steps before, the moments without their constant
 * factors, which go into two numbers instead: each pass over the parameters counts.
 */
function adam(options: AdamOptions): Optimizer {
  const { kind, betas = [0.9, 0.999], epsilon = 1e-8 } = options;
  const { weightDecay = kind === 'adamw' ? 0.01 : 0 } = options;
  const [beta1, beta2] = betas;
  return {
    slots: ['sum', 'squares'],
    scalars: (learningRate, step) => {
      const root = Math.sqrt((1 - beta2) / (1 - beta2 ** step));
      return {
        stepSize: (learningRate * (1 - beta1)) / (1 - beta1 ** step) / root,
        epsilon: epsilon / root,
        kept: 1 - learningRate * weightDecay,
      };
    },
    emit: (graph, { parameter, gradient, slots, scalars, decayed }) => {
      const scaled = scaledBy(graph);
      const decays = weightDecay !== 0 && decayed;
      const coupled = decays && kind === 'adam';
      const g = coupled ? graph.op('Add', [gradient, scaled(parameter, weightDecay)]) : gradient;
      const sum = graph.op('Add', [scaled(slots['sum'] ?? '', beta1), g]);
      const square = graph.op('Mul', [g, g]);
      const squares = graph.op('Add', [scaled(slots['squares'] ?? '', beta2), square]);
      const root = graph.op('Add', [graph.op('Sqrt', [squares]), scalars['epsilon'] ?? '']);
      const direction = graph.op('Div', [sum, root]);
      const kept =
        decays && kind === 'adamw'
          ? graph.op('Mul', [parameter, scalars['kept'] ?? ''])
          : parameter;
      const step = graph.op('Mul', [direction, scalars['stepSize'] ?? '']);
      return { parameter: graph.op('Sub', [kept, step]), slots: { sum, squares } };
    },
  };
}

const scaledBy =
  (graph: GraphBuilder) =>
  (value: Value, factor: number): Value =>
    graph.op('Mul', [value, graph.scalar(factor)]);
