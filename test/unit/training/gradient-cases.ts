import { float } from '../../../extension/core/onnx/graph-builder';
import type { Attribute, GraphBuilder, Value } from '../../../extension/core/onnx/graph-builder';
import type { DifferentiableCase } from './finite-differences';
import { product } from './random';
import type { Random } from './random';

type MakeCase = (random: Random) => DifferentiableCase;
type Attributes = Readonly<Record<string, Attribute>>;
type Values = 'normals' | 'positive' | 'distinct';

const input = (random: Random, shape: readonly number[], values: Values = 'normals') => ({
  shape,
  values:
    values === 'positive' ? random.between(product(shape), 0.4, 2) : random[values](product(shape)),
});

/** An operator of one input. */
const unary =
  (
    type: string,
    values: Values = 'normals',
    attributes: Attributes = {},
    single = false,
  ): MakeCase =>
  (random) => ({
    inputs: [input(random, random.shape(random.int(1, 3)), values)],
    emit: (graph, [x = '']) => graph.op(type, [x], attributes),
    single,
  });

/** An operator of inputs that are broadcast; each may be the smaller one. */
const broadcast =
  (type: string, values: Values = 'normals', count = 2): MakeCase =>
  (random) => {
    const shape = random.shape(random.int(1, 3));
    const shapes = Array.from({ length: count }, () => random.broadcastTo(shape));
    shapes[random.int(0, count - 1)] = shape;
    // Together, so that values of different inputs are distinct too.
    const all = input(random, [shapes.reduce((sum, one) => sum + product(one), 0)], values).values;
    let begin = 0;
    return {
      inputs: shapes.map((one) => ({
        shape: one,
        values: all.slice(begin, (begin += product(one))),
      })),
      emit: (graph, inputs) => graph.op(type, inputs),
    };
  };

/** A reduction over some of the axes, negative ones among them, or over all. */
const reduction =
  (type: string, values: Values = 'normals', single = false): MakeCase =>
  (random) => {
    const rank = random.int(1, 4);
    const axes = Array.from({ length: rank }, (_, axis) => axis).filter(
      () => random.uniform() < 0.5,
    );
    const signed = axes.map((axis) => (random.uniform() < 0.5 ? axis : axis - rank));
    const keepdims = random.pick(0, 1);
    return {
      inputs: [input(random, random.shape(rank), values)],
      emit: (graph, [x = '']) =>
        signed.length === 0
          ? graph.op(type, [x], { keepdims })
          : graph.reduce(type, x, signed, keepdims === 1 ? 1 : 0),
      single,
    };
  };

const gemm: MakeCase = (random) => {
  const [m, k, n] = [random.int(1, 4), random.int(1, 4), random.int(1, 4)];
  const [transA, transB] = [random.pick(0, 1), random.pick(0, 1)];
  const bias = random.pick([], [n], [1, n], [m, 1], [m, n], [1]);
  return {
    inputs: [
      input(random, transA === 1 ? [k, m] : [m, k]),
      input(random, transB === 1 ? [n, k] : [k, n]),
      ...(random.uniform() < 0.2 ? [] : [input(random, bias)]),
    ],
    emit: (graph, inputs) =>
      graph.op('Gemm', inputs, { transA, transB, alpha: float(0.5), beta: float(1.5) }),
  };
};

const matMul: MakeCase = (random) => {
  const [m, k, n] = [random.int(1, 3), random.int(1, 3), random.int(1, 3)];
  const batch = random.shape(random.int(0, 2), 3);
  const [left, right] = random.pick(
    [
      [...batch, m, k],
      [k, n],
    ],
    [
      [...batch, m, k],
      [...random.broadcastTo(batch), k, n],
    ],
    [
      [...random.broadcastTo(batch), m, k],
      [...batch, k, n],
    ],
    [
      [m, k],
      [...batch, k, n],
    ],
    [[k], [...batch, k, n]],
    [[...batch, m, k], [k]],
    [[k], [k]],
  );
  return {
    inputs: [input(random, left), input(random, right)],
    emit: (graph, inputs) => graph.op('MatMul', inputs),
  };
};

const einsum: MakeCase = (random) => {
  const equation = random.pick(
    'ij,jk->ik',
    'bij,bkj->bik',
    'bhqd,bhkd->bhqk',
    'bij,jk->bik',
    'ij,ij->',
    'i,j->ij',
    'ijk,kj->i',
    'ij,k->ik',
    '...ij,...jk->...ik',
    'ij->ji',
    'ijk->j',
  );
  const [left = ''] = equation.split('->');
  const sizes = new Map<string, number>();
  const getSize = (label: string): number => {
    const size = sizes.get(label) ?? random.int(1, 3);
    sizes.set(label, size);
    return size;
  };
  const batch = random.shape(random.int(0, 2), 3);
  const shapes = left
    .split(',')
    .map((labels) => [
      ...(labels.includes('...') ? batch.map((size) => random.pick(size, 1)) : []),
      ...Array.from(labels.replace('...', ''), getSize),
    ]);
  return {
    inputs: shapes.map((shape) => input(random, shape)),
    emit: (graph, inputs) => graph.op('Einsum', inputs, { equation }),
  };
};

/** A window over one, two or three spatial axes that fits the image. */
function windowed(random: Random, axes: number, dilated: boolean) {
  const kernel = random.shape(axes, 3);
  const strides = random.shape(axes, 3);
  const dilations = dilated ? random.shape(axes, 2) : kernel.map(() => 1);
  // ONNX forbids padding as wide as the kernel of a pool.
  const begins = kernel.map((size) => random.int(0, Math.floor(size / 2)));
  const ends = kernel.map((size) => random.int(0, Math.floor(size / 2)));
  const image = kernel.map(
    (size, axis) => (size - 1) * (dilations[axis] ?? 1) + 1 + random.int(0, 4),
  );
  return { kernel, strides, dilations, pads: [...begins, ...ends], image };
}

const conv: MakeCase = (random) => {
  const { kernel, strides, dilations, pads, image } = windowed(
    random,
    random.pick(1, 2, 2, 3),
    true,
  );
  const group = random.pick(1, 1, 2, 3);
  // From 8 channels on the weights' gradient takes another form.
  const [inner, outer] = [random.pick(1, 2, 8), random.int(1, 2)];
  const automatic =
    random.uniform() < 0.2 ? random.pick('VALID', 'SAME_UPPER', 'SAME_LOWER') : undefined;
  const same = automatic?.startsWith('SAME') === true;
  return {
    inputs: [
      input(random, [random.int(1, 2), inner * group, ...image]),
      input(random, [outer * group, inner, ...kernel]),
      ...(random.uniform() < 0.3 ? [] : [input(random, [outer * group])]),
    ],
    emit: (graph, inputs) =>
      graph.op('Conv', inputs, {
        kernel_shape: kernel,
        strides,
        group,
        ...(automatic === undefined ? { pads, dilations } : { auto_pad: automatic }),
      }),
    single: true,
    // The function is linear in each element: a wide step has no error of truncation.
    step: 0.5,
    ...(same ? { onlyNumbers: true } : {}),
  };
};

const maxPool: MakeCase = (random) => {
  const { kernel, strides, dilations, pads, image } = windowed(random, random.pick(1, 2, 3), true);
  // ONNX Runtime's shape inference and its kernel disagree about windows that begin after the image.
  const beyond =
    pads.some((count) => count > 0) || strides.some((stride, i) => stride > (kernel[i] ?? 1));
  const ceil = beyond ? 0 : random.pick(0, 1);
  return {
    inputs: [input(random, [random.int(1, 2), random.int(1, 2), ...image], 'distinct')],
    emit: (graph, [x = '']) =>
      graph.op('MaxPool', [x], {
        kernel_shape: kernel,
        strides,
        dilations,
        pads,
        ceil_mode: ceil,
      }),
  };
};

/** Windows side by side that cover the image. */
const dividingMaxPool: MakeCase = (random) => {
  const kernel = random.shape(2, 3);
  const image = kernel.map((size) => size * random.int(1, 3));
  return {
    inputs: [input(random, [random.int(1, 2), random.int(1, 2), ...image], 'distinct')],
    emit: (graph, [x = '']) => graph.op('MaxPool', [x], { kernel_shape: kernel, strides: kernel }),
    single: true,
    step: 0.05,
  };
};

const averagePool: MakeCase = (random) => {
  const { kernel, strides, pads, image } = windowed(random, random.pick(1, 2, 3), false);
  const including = random.pick(0, 1);
  return {
    inputs: [input(random, [random.int(1, 2), random.int(1, 2), ...image])],
    emit: (graph, [x = '']) =>
      graph.op('AveragePool', [x], {
        kernel_shape: kernel,
        strides,
        pads,
        count_include_pad: including,
      }),
    single: true,
    step: 0.5,
  };
};

const globalPool =
  (type: string, single: boolean): MakeCase =>
  (random) => ({
    inputs: [input(random, random.shape(random.int(3, 5), 3), 'distinct')],
    emit: (graph, [x = '']) => graph.op(type, [x]),
    single,
  });

const layerNorm =
  (single: boolean): MakeCase =>
  (random) => {
    const shape = [...random.shape(random.int(1, 2)), random.int(2, 5)];
    const axis = random.pick(-1, shape.length - 1, random.int(0, shape.length - 1));
    const normed = shape.slice(axis);
    return {
      inputs: [
        input(random, shape),
        input(random, normed),
        ...(random.uniform() < 0.3 ? [] : [input(random, normed)]),
      ],
      emit: (graph, inputs) =>
        graph.op('LayerNormalization', inputs, { axis, epsilon: float(0.1) }),
      single,
    };
  };

const batchNorm =
  (training: boolean): MakeCase =>
  (random) => {
    const channels = random.int(1, 3);
    const shape = [random.int(2, 3), channels, ...random.shape(random.int(0, 2), 3)];
    const statistics = () => input(random, [channels], 'positive');
    const [mean, variance] = [statistics(), statistics()];
    return {
      inputs: [
        input(random, shape),
        input(random, [channels]),
        input(random, [channels]),
        ...(training ? [] : [mean, variance]),
      ],
      emit: (graph, inputs, type) => {
        const given = [mean, variance].map(({ values }) => graph.numbers(type, values, [channels]));
        const all = training ? [...inputs, ...given] : inputs;
        const attributes = { epsilon: float(0.1), training_mode: training ? 1 : 0 };
        return graph.ops('BatchNormalization', all, training ? 3 : 1, attributes)[0] ?? '';
      },
    };
  };

const instanceNorm: MakeCase = (random) => {
  const channels = random.int(1, 3);
  return {
    inputs: [
      input(random, [random.int(1, 2), channels, ...random.shape(random.int(1, 2), 4)]),
      input(random, [channels]),
      input(random, [channels]),
    ],
    emit: (graph, inputs) => graph.op('InstanceNormalization', inputs, { epsilon: float(0.1) }),
    single: true,
  };
};

const rmsNorm: MakeCase = (random) => {
  const shape = [...random.shape(random.int(1, 2)), random.int(2, 5)];
  return {
    inputs: [input(random, shape), input(random, shape.slice(-1))],
    emit: (graph, [x = '', gain = ''], type) => {
      const square = graph.op('Pow', [x, graph.numbers(type, [2], [])]);
      const mean = graph.reduce('ReduceMean', square, [-1], 1);
      const root = graph.op('Sqrt', [graph.op('Add', [mean, graph.numbers(type, [0.1], [])])]);
      return graph.op('Mul', [graph.op('Div', [x, root]), gain]);
    },
  };
};

const softmax =
  (type: string): MakeCase =>
  (random) => {
    const shape = random.shape(random.int(1, 3));
    const axis = random.int(-shape.length, shape.length - 1);
    return {
      inputs: [input(random, shape)],
      emit: (graph, [x = '']) => graph.op(type, [x], { axis }),
    };
  };

const gather: MakeCase = (random) => {
  const shape = random.shape(random.int(1, 3));
  const axis = random.int(-shape.length, shape.length - 1);
  const size = shape.at(axis) ?? 1;
  const chosen = random.shape(random.int(0, 2), 3);
  const indices = Array.from({ length: product(chosen) }, () => random.int(-size, size - 1));
  return {
    inputs: [input(random, shape)],
    emit: (graph, [x = '']) => graph.op('Gather', [x, graph.ints(indices, chosen)], { axis }),
  };
};

const gatherElements: MakeCase = (random) => {
  const shape = random.shape(random.int(1, 3));
  const axis = random.int(-shape.length, shape.length - 1);
  const size = shape.at(axis) ?? 1;
  const place = axis < 0 ? axis + shape.length : axis;
  const chosen = shape.map((length, i) => (i === place ? random.int(1, 5) : length));
  const indices = Array.from({ length: product(chosen) }, () => random.int(-size, size - 1));
  return {
    inputs: [input(random, shape)],
    emit: (graph, [x = '']) =>
      graph.op('GatherElements', [x, graph.ints(indices, chosen)], { axis }),
  };
};

/** Rows of a matrix, each written once, which may be none. */
const scatterND =
  (reduction: 'none' | 'add'): MakeCase =>
  (random) => {
    const [rows, width] = [random.int(1, 5), random.int(1, 4)];
    const chosen = shuffled(random, rows).slice(0, random.int(0, rows));
    return {
      inputs: [input(random, [rows, width]), input(random, [chosen.length, width])],
      emit: (graph, [x = '', updates = '']) =>
        graph.op('ScatterND', [x, graph.ints(chosen, [chosen.length, 1]), updates], { reduction }),
    };
  };

const topK: MakeCase = (random) => {
  const shape = random.shape(random.int(1, 3));
  const axis = random.int(-shape.length, shape.length - 1);
  const count = random.int(1, shape.at(axis) ?? 1);
  return {
    inputs: [input(random, shape, 'distinct')],
    emit: (graph, [x = '']) => graph.ops('TopK', [x, graph.ints([count])], 2, { axis })[0] ?? '',
  };
};

const slice =
  (stepped: boolean): MakeCase =>
  (random) => {
    const shape = random.shape(random.int(1, 3), 6);
    const axes = shape.map((_, axis) => axis).filter(() => random.uniform() < 0.7);
    const chosen = axes.length === 0 ? [0] : axes;
    const bounds = chosen.map((axis) => {
      const size = shape[axis] ?? 1;
      const start = random.int(0, size - 1);
      const end = random.int(start + 1, size);
      const step = stepped ? random.pick(1, 2, 3, -1, -2) : 1;
      const back = step < 0;
      const from = back ? end - 1 : start;
      const to = back ? start - 1 - size : end;
      const negative = random.uniform() < 0.5;
      return {
        start: negative ? from - size : from,
        end: back
          ? to < -size
            ? -size - 1
            : to
          : random.pick(to, to === size ? 1 << 30 : to - size),
        step,
        axis: random.pick(axis, axis - shape.length),
      };
    });
    const column = (name: 'start' | 'end' | 'step' | 'axis'): number[] =>
      bounds.map((bound) => bound[name]);
    return {
      inputs: [input(random, shape)],
      emit: (graph, [x = '']) =>
        graph.op('Slice', [
          x,
          ...(['start', 'end', 'axis'] as const).map((name) => graph.ints(column(name))),
          ...(stepped ? [graph.ints(column('step'))] : []),
        ]),
    };
  };

const concat: MakeCase = (random) => {
  const shape = random.shape(random.int(1, 3));
  const axis = random.int(-shape.length, shape.length - 1);
  const place = axis < 0 ? axis + shape.length : axis;
  const parts = Array.from({ length: random.int(1, 3) }, () =>
    shape.map((size, i) => (i === place ? random.int(1, 3) : size)),
  );
  return {
    inputs: parts.map((part) => input(random, part)),
    emit: (graph, inputs) => graph.op('Concat', inputs, { axis }),
  };
};

/** Two of three parts are used, one of them twice. */
const split: MakeCase = (random) => {
  const sizes = random.shape(3, 3);
  const rank = random.int(1, 3);
  const axis = random.int(-rank, rank - 1);
  const shape = random.shape(rank);
  shape[axis < 0 ? axis + rank : axis] = sizes.reduce((sum, size) => sum + size, 0);
  return {
    inputs: [input(random, shape)],
    emit: (graph, [x = '']) => {
      const [first = '', , third = ''] = graph.ops('Split', [x, graph.ints(sizes)], 3, { axis });
      return graph.op('Concat', [first, third, first], { axis });
    },
  };
};

/** An operator with further inputs and attributes that depend on the shape. */
const moving =
  (
    type: string,
    rank: readonly [number, number],
    rest: (
      random: Random,
      shape: readonly number[],
    ) => {
      readonly inputs?: (graph: GraphBuilder) => Value[];
      readonly attributes?: Attributes;
    },
  ): MakeCase =>
  (random) => {
    const shape = random.shape(random.int(...rank));
    const { inputs, attributes = {} } = rest(random, shape);
    return {
      inputs: [input(random, shape)],
      emit: (graph, [x = '']) => {
        // Squared, so that the gradient depends on where each element went.
        const square = graph.op('Mul', [x, x]);
        return graph.op(type, [square, ...(inputs?.(graph) ?? [])], attributes);
      },
    };
  };

function shuffled(random: Random, count: number): number[] {
  return random
    .normals(count)
    .map((key, i) => ({ key, i }))
    .sort((a, b) => a.key - b.key)
    .map(({ i }) => i);
}

const clip: MakeCase = (random) => ({
  inputs: [
    input(random, random.shape(random.int(1, 3)), 'distinct'),
    { shape: [], values: [-0.3] },
    ...(random.uniform() < 0.5 ? [{ shape: [], values: [0.31] }] : []),
  ],
  emit: (graph, inputs) => graph.op('Clip', inputs),
});

const where: MakeCase = (random) => {
  const shape = random.shape(random.int(1, 3));
  const condition = random.broadcastTo(shape);
  const truths = Array.from({ length: product(condition) }, () => random.pick(0, 1));
  const reversed = random.pick(false, true);
  return {
    inputs: [input(random, random.broadcastTo(shape)), input(random, shape)],
    emit: (graph, inputs) => {
      const chosen = graph.op('Greater', [graph.ints(truths, condition), graph.ints([0], [])]);
      return graph.op('Where', [chosen, ...(reversed ? [...inputs].reverse() : inputs)]);
    },
  };
};

const powerCase =
  (exponent: number): MakeCase =>
  (random) => ({
    inputs: [input(random, random.shape(2), exponent % 1 === 0 ? 'normals' : 'positive')],
    emit: (graph, [x = ''], type) => graph.op('Pow', [x, graph.numbers(type, [exponent], [])]),
  });

/** An exponent that a node computes from two constants. */
const quotientPower: MakeCase = (random) => ({
  inputs: [input(random, random.shape(2), 'positive')],
  emit: (graph, [x = ''], type) => {
    const number = (value: number): Value => graph.numbers(type, [value], []);
    return graph.op('Pow', [x, graph.op('Div', [number(3), number(2)])]);
  },
});

type Emit = (graph: GraphBuilder, x: Value, number: (value: number) => Value) => Value;

/** The exact GELU as it is written in graphs. */
export const geluForms: Readonly<Record<string, Emit>> = {
  'half of x first': (graph, x, number) => {
    const erf = graph.op('Erf', [graph.op('Div', [x, number(Math.SQRT2)])]);
    return graph.op('Mul', [graph.op('Mul', [x, number(0.5)]), graph.op('Add', [erf, number(1)])]);
  },
  'half last': (graph, x, number) => {
    const erf = graph.op('Erf', [graph.op('Mul', [x, number(Math.SQRT1_2)])]);
    return graph.op('Mul', [graph.op('Mul', [x, graph.op('Add', [number(1), erf])]), number(0.5)]);
  },
  'half of the gate': (graph, x, number) => {
    const erf = graph.op('Erf', [graph.op('Mul', [number(Math.SQRT1_2), x])]);
    const gate = graph.op('Mul', [number(0.5), graph.op('Add', [erf, number(1)])]);
    return graph.op('Mul', [x, gate]);
  },
};

/** GELU and SiLU as exporters write them. */
const composed =
  (emit: Emit, single = false): MakeCase =>
  (random) => ({
    inputs: [input(random, random.shape(2))],
    emit: (graph, [x = ''], type) => emit(graph, x, (value) => graph.numbers(type, [value], [])),
    single,
  });

/** Some elements of each row, the same one more than once among them, as labels are looked up. */
const gatheredLogSoftmax: MakeCase = (random) => {
  const [rows, width, count] = [random.int(1, 4), random.int(1, 4), random.int(1, 3)];
  const chosenRows = random.int(1, rows);
  const places = Array.from({ length: chosenRows * count }, () => random.int(0, width - 1));
  return {
    inputs: [input(random, [rows, width])],
    emit: (graph, [x = '']) =>
      graph.op(
        'GatherElements',
        [graph.op('LogSoftmax', [x], { axis: 1 }), graph.ints(places, [chosenRows, count])],
        { axis: 1 },
      ),
  };
};

/** A · Bᵀ as attention has it, in float32, with batches. */
const swappedProduct: MakeCase = (random) => {
  const [batch, rows, inner, columns] = [0, 0, 0, 0].map(() => random.int(1, 3));
  return {
    inputs: [
      input(random, [batch ?? 1, 2, rows ?? 1, inner ?? 1]),
      input(random, [batch ?? 1, 2, columns ?? 1, inner ?? 1]),
    ],
    emit: (graph, [a = '', b = '']) =>
      graph.op('MatMul', [a, graph.op('Transpose', [b], { perm: [0, 1, 3, 2] })]),
    single: true,
    step: 0.5,
  };
};

/** One function per rule, or several where its ways differ. */
export const gradientCases: Readonly<Record<string, MakeCase>> = {
  Add: broadcast('Add'),
  Sub: broadcast('Sub'),
  Mul: broadcast('Mul'),
  Div: broadcast('Div', 'positive'),
  Pow: broadcast('Pow', 'positive'),
  'Pow, 2': powerCase(2),
  'Pow, 3': powerCase(3),
  'Pow, 1': powerCase(1),
  'Pow, -0.5': powerCase(-0.5),
  'Pow, 3 / 2': quotientPower,
  Min: broadcast('Min', 'distinct', 3),
  Max: broadcast('Max', 'distinct'),
  Sum: broadcast('Sum', 'normals', 3),
  Where: where,
  Clip: clip,
  Neg: unary('Neg'),
  Abs: unary('Abs', 'distinct'),
  Reciprocal: unary('Reciprocal', 'positive'),
  Sqrt: unary('Sqrt', 'positive'),
  Exp: unary('Exp'),
  Log: unary('Log', 'positive'),
  Erf: unary('Erf', 'normals', {}, true),
  Tanh: unary('Tanh'),
  Sigmoid: unary('Sigmoid'),
  Relu: unary('Relu', 'distinct'),
  'Relu, float32': unary('Relu', 'distinct', {}, true),
  LeakyRelu: unary('LeakyRelu', 'distinct', { alpha: float(0.2) }),
  PRelu: (random) => {
    const shape = random.shape(2);
    return {
      inputs: [input(random, shape, 'distinct'), input(random, random.broadcastTo(shape))],
      emit: (graph, inputs) => graph.op('PRelu', inputs),
    };
  },
  Elu: unary('Elu', 'distinct', { alpha: float(0.7) }, true),
  Softplus: unary('Softplus', 'normals', {}, true),
  HardSigmoid: unary('HardSigmoid', 'distinct', { alpha: float(0.3) }, true),
  HardSwish: unary('HardSwish', 'distinct', {}, true),
  Cos: unary('Cos'),
  Sin: unary('Sin'),
  Identity: unary('Identity'),
  Sign: (random) => ({
    inputs: [input(random, [3], 'distinct')],
    emit: (graph, [x = '']) => graph.op('Mul', [x, graph.op('Sign', [x])]),
  }),
  Cast: (random) => ({
    inputs: [input(random, random.shape(2))],
    emit: (graph, [x = ''], type) =>
      graph.op('Cast', [graph.op('Cast', [x], { to: 1 })], { to: type }),
    step: 0.5,
  }),
  ...Object.fromEntries(
    Object.entries(geluForms).map(([name, emit]) => [`GELU, ${name}`, composed(emit, true)]),
  ),
  'GELU, tanh': composed((graph, x, number) => {
    const cube = graph.op('Pow', [x, number(3)]);
    const inner = graph.op('Add', [x, graph.op('Mul', [cube, number(0.044715)])]);
    const tanh = graph.op('Tanh', [graph.op('Mul', [inner, number(Math.sqrt(2 / Math.PI))])]);
    return graph.op('Mul', [graph.op('Mul', [x, number(0.5)]), graph.op('Add', [tanh, number(1)])]);
  }),
  // ONNX Runtime fuses it, for float32 alone.
  SiLU: composed((graph, x) => graph.op('Mul', [x, graph.op('Sigmoid', [x])]), true),
  // x · cos + (−second half, first half) · sin
  'rotary form': (random) => {
    const half = random.int(1, 3);
    const shape = [random.int(1, 2), random.int(1, 3), 2 * half];
    const angles = [input(random, shape.slice(1)), input(random, shape.slice(1))];
    return {
      inputs: [input(random, shape), ...angles],
      emit: (graph, [x = '', cos = '', sin = '']) => {
        const part = (from: number, to: number) =>
          graph.op('Slice', [x, graph.ints([from]), graph.ints([to]), graph.ints([-1])]);
        const transposed = graph.op(
          'Concat',
          [graph.op('Neg', [part(half, 2 * half)]), part(0, half)],
          {
            axis: -1,
          },
        );
        return graph.op('Add', [graph.op('Mul', [x, cos]), graph.op('Mul', [transposed, sin])]);
      },
    };
  },
  Gemm: gemm,
  MatMul: matMul,
  'MatMul, float32': (random) => ({ ...matMul(random), single: true }),
  'MatMul, swapped, float32': swappedProduct,
  Einsum: einsum,
  Conv: conv,
  MaxPool: maxPool,
  'MaxPool, side by side': dividingMaxPool,
  AveragePool: averagePool,
  GlobalAveragePool: globalPool('GlobalAveragePool', true),
  GlobalMaxPool: globalPool('GlobalMaxPool', true),
  LayerNormalization: layerNorm(false),
  'LayerNormalization, float32': layerNorm(true),
  'RMS norm': rmsNorm,
  'BatchNormalization, statistics given': batchNorm(false),
  'BatchNormalization, of the batch': batchNorm(true),
  InstanceNormalization: instanceNorm,
  Softmax: softmax('Softmax'),
  LogSoftmax: softmax('LogSoftmax'),
  'LogSoftmax, gathered': gatheredLogSoftmax,
  ReduceSum: reduction('ReduceSum'),
  ReduceMean: reduction('ReduceMean'),
  ReduceMax: reduction('ReduceMax', 'distinct'),
  ReduceMin: reduction('ReduceMin', 'distinct'),
  ReduceSumSquare: reduction('ReduceSumSquare'),
  ReduceL1: reduction('ReduceL1', 'distinct'),
  ReduceL2: reduction('ReduceL2', 'distinct'),
  ReduceProd: reduction('ReduceProd'),
  'ReduceProd, zeros': (random) => {
    const shape = [random.int(1, 3), random.int(2, 4)];
    const values = random.normals(product(shape)).map((x) => (random.uniform() < 0.3 ? 0 : x));
    return {
      inputs: [{ shape, values }],
      emit: (graph, [x = '']) => graph.reduce('ReduceProd', x, [1], 0),
    };
  },
  ReduceLogSum: reduction('ReduceLogSum', 'positive'),
  ReduceLogSumExp: reduction('ReduceLogSumExp'),
  Gather: gather,
  GatherElements: gatherElements,
  'Gather, nothing': (random) => {
    const [rows, width] = [random.int(1, 4), random.int(1, 4)];
    return {
      inputs: [input(random, [rows, width])],
      emit: (graph, [x = '']) => {
        const none = graph.op('Gather', [x, graph.ints([], [0])], { axis: 0 });
        return graph.op('Concat', [graph.op('Mul', [x, x]), none], { axis: 0 });
      },
    };
  },
  ScatterND: scatterND('add'),
  'ScatterND, none': scatterND('none'),
  TopK: topK,
  Slice: slice(false),
  'Slice, steps': slice(true),
  Concat: concat,
  Split: split,
  Pad: moving('Pad', [1, 3], (random, shape) => {
    // First the pads at the start of each axis, then at its end; a negative one crops, on an axis that keeps something.
    const sides = shape.map((size) => [random.int(size > 1 ? -1 : 0, 2), random.int(0, 2)]);
    const pads = [0, 1].flatMap((side) => sides.map((pair) => pair[side] ?? 0));
    return { inputs: (graph) => [graph.ints(pads)] };
  }),
  Reshape: moving('Reshape', [1, 3], (random, shape) => {
    const target = random.pick([-1], [1, -1], shape.length === 1 ? [-1, 1] : [0, -1, 1]);
    return { inputs: (graph) => [graph.ints(target)] };
  }),
  Flatten: moving('Flatten', [2, 4], (random, shape) => ({
    attributes: { axis: random.int(-shape.length, shape.length) },
  })),
  Transpose: moving('Transpose', [1, 4], (random, shape) =>
    random.pick({}, { attributes: { perm: shuffled(random, shape.length) } }),
  ),
  Unsqueeze: moving('Unsqueeze', [1, 3], (random) => {
    const axes = random.pick([0], [-1], [0, 2], [1, -1]);
    return { inputs: (graph) => [graph.ints(axes)] };
  }),
  Squeeze: (random) => {
    const shape = random.shape(random.int(2, 4));
    const axis = random.int(0, shape.length - 1);
    shape[axis] = 1;
    const given = random.pick(axis, axis - shape.length);
    return {
      inputs: [input(random, shape)],
      emit: (graph, [x = '']) => graph.op('Squeeze', [x, graph.ints([given])]),
    };
  },
  Expand: (random) => {
    const shape = random.shape(random.int(1, 3));
    return {
      inputs: [input(random, random.broadcastTo(shape))],
      emit: (graph, [x = '']) => graph.op('Expand', [x, graph.ints(shape)]),
    };
  },
  Tile: moving('Tile', [1, 3], (random, shape) => {
    const repeats = random.shape(shape.length, 3);
    return { inputs: (graph) => [graph.ints(repeats)] };
  }),
  Trilu: moving('Trilu', [2, 3], (random) => {
    const diagonal = random.int(-1, 1);
    return {
      inputs: (graph) => [graph.ints([diagonal], [])],
      attributes: { upper: random.pick(0, 1) },
    };
  }),
  CumSum: moving('CumSum', [1, 3], (random, shape) => {
    const axis = random.int(-shape.length, shape.length - 1);
    return {
      inputs: (graph) => [graph.ints([axis], [])],
      attributes: { exclusive: random.pick(0, 1), reverse: random.pick(0, 1) },
    };
  }),
};
