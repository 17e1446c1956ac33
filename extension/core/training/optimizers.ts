import type { GraphBuilder, Value } from '../onnx/graph-builder';

/** Stochastic gradient descent as in PyTorch: g += λw; v = μv + g; w −= η·v, or η·(g + μv) with Nesterov momentum. */
export interface SgdOptions {
  readonly kind: 'sgd';
  readonly momentum?: number;
  readonly nesterov?: boolean;
  readonly weightDecay?: number;
}

/** Adam (Kingma and Ba 2015, algorithm 1), or AdamW with decoupled decay (Loshchilov and Hutter 2019). */
export interface AdamOptions {
  readonly kind: 'adam' | 'adamw';
  readonly betas?: readonly [number, number];
  readonly epsilon?: number;
  readonly weightDecay?: number;
}

export type OptimizerOptions = SgdOptions | AdamOptions;

/** Inputs of the update of one parameter, or of several joined to a vector. */
export interface UpdateInputs {
  readonly parameter: Value;
  readonly gradient: Value;
  /** scale · gradient + factor · addend; fused into the Gemm that computes the gradient if nothing else reads it. */
  readonly combined: (scale: number, addend: Value, factor: number) => Value;
  /** Optimizer state by name, with the parameter's shape. */
  readonly slots: Readonly<Record<string, Value>>;
  /** Values that change from step to step, float32 scalars, by name. */
  readonly scalars: Readonly<Record<string, Value>>;
  /** True if weight decay applies. */
  readonly decayed: boolean;
}

/** Updated parameter and optimizer state of a step. */
export interface Update {
  readonly parameter: Value;
  readonly slots: Readonly<Record<string, Value>>;
}

/** Optimizer that emits its update as graph nodes. */
export interface Optimizer {
  /** Names of the state tensors per parameter, initialized to zeros. */
  readonly slots: readonly string[];
  /** Scalars for step `step`, counted from 1. */
  readonly scalars: (learningRate: number, step: number) => Readonly<Record<string, number>>;
  readonly emit: (graph: GraphBuilder, inputs: UpdateInputs) => Update;
}

export function createOptimizer(options: OptimizerOptions): Optimizer {
  return options.kind === 'sgd' ? sgd(options) : adam(options);
}

/**
 * SGD. With weight decay the slot stores v·μ/λ: then μv + λw is λ · (slot + parameter), which is fused into the Gemm
 * that computes g and saves a pass over the parameters.
 */
function sgd({ momentum = 0, nesterov = false, weightDecay = 0 }: SgdOptions): Optimizer {
  const unit = momentum / weightDecay;
  return {
    slots: momentum === 0 ? [] : ['momentum'],
    scalars: (learningRate) => ({
      learningRate,
      ...(momentum === 0 || weightDecay === 0 ? {} : { slotRate: learningRate / unit }),
    }),
    emit: (graph, { parameter, gradient, combined, slots, scalars, decayed }) => {
      const scaled = scaledBy(graph);
      const decays = weightDecay !== 0 && decayed;
      const { momentum: slot } = slots;
      const minus = (direction: Value, rate: string): Value =>
        graph.op('Sub', [parameter, graph.op('Mul', [direction, scalars[rate] ?? ''])]);
      if (slot === undefined) {
        const g = decays ? graph.op('Add', [gradient, scaled(parameter, weightDecay)]) : gradient;
        return { parameter: minus(g, 'learningRate'), slots: {} };
      }
      const [scale, rate] = decays ? [unit, 'slotRate'] : [1, 'learningRate'];
      const before = decays ? graph.op('Add', [slot, parameter]) : slot;
      const next = combined(scale, before, momentum);
      const direction = nesterov
        ? graph.op('Sub', [scaled(next, 1 + momentum), scaled(slot, momentum)])
        : next;
      return { parameter: minus(direction, rate), slots: { momentum: next } };
    },
  };
}

/**
 * Adam. The slots are sum = Σ β₁ᵏ·g and squares = Σ β₂ᵏ·g² over the previous steps, the moments without their constant
 * factors; two scalars contain these factors, which saves passes over the parameters.
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
        decayedParameter: 1 - learningRate * weightDecay,
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
      const decayedParameter =
        decays && kind === 'adamw'
          ? graph.op('Mul', [parameter, scalars['decayedParameter'] ?? ''])
          : parameter;
      const step = graph.op('Mul', [direction, scalars['stepSize'] ?? '']);
      return { parameter: graph.op('Sub', [decayedParameter, step]), slots: { sum, squares } };
    },
  };
}

const scaledBy =
  (graph: GraphBuilder) =>
  (value: Value, factor: number): Value =>
    graph.op('Mul', [value, graph.scalar(factor)]);
