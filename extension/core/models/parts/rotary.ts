import type { ErrorCode } from '../../error-codes';
import { UserError } from '../../user-error';
import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import type { ModelConfig, RopeConfig } from '../transformer/model-config';
import { say } from '../../message';
import type { Message } from '../../message';

/** Inverse frequencies [dimensions / 2], in radians per position. */
type Frequencies =
  | { readonly kind: 'fixed'; readonly inverse: readonly number[] }
  /** LongRoPE (arXiv 2402.13753): one set up to `threshold` positions, another beyond. */
  | {
      readonly kind: 'by-length';
      readonly threshold: number;
      readonly short: readonly number[];
      readonly long: readonly number[];
    }
  /** Dynamic NTK: the base grows with the sequence once it is longer than `maxPositions`. */
  | {
      readonly kind: 'dynamic';
      readonly theta: number;
      readonly factor: number;
      readonly maxPositions: number;
    };

/** A rotary position embedding (RoFormer, arXiv 2104.09864) over the first `dimensions` of each head. */
export interface Rotary {
  readonly dimensions: number;
  /** True if dimension 2i is paired with 2i + 1, false if i is paired with i + dimensions / 2. */
  readonly interleaved: boolean;
  /** True if heads are rotated in the opposite direction. */
  readonly reversed: boolean;
  /** Factor on cosine and sine. */
  readonly attentionFactor: number;
  readonly frequencies: Frequencies;
}

/** Fields of config.json that determine rotary embeddings. */
type RotaryConfig = Pick<
  ModelConfig,
  | 'rope_parameters'
  | 'rope_scaling'
  | 'rope_theta'
  | 'rope_local_base_freq'
  | 'partial_rotary_factor'
  | 'rotary_dim'
  | 'max_position_embeddings'
  | 'original_max_position_embeddings'
>;

type Turning = Omit<Rotary, 'dimensions' | 'interleaved' | 'reversed'>;
type Scaling = (rope: RopeConfig, context: RotaryContext) => Turning;

interface RotaryContext {
  readonly config: RotaryConfig;
  readonly file: string;
  readonly theta: number;
  readonly dimensions: number;
  /** Unscaled inverse frequencies. */
  readonly inverse: readonly number[];
}

const fixed = (inverse: readonly number[]): Turning => ({
  attentionFactor: 1,
  frequencies: { kind: 'fixed', inverse },
});

/** No model has heads anywhere near this wide; beyond it a config is damaged. */
const maxDimensions = 1 << 16;

/** One function per `rope_type`. */
export const rotaryScalings: Readonly<Record<string, Scaling>> = {
  default: (_, { inverse }) => fixed(inverse),
  linear: (rope, context) => {
    const factor = required(rope, 'factor', context);
    return fixed(context.inverse.map((frequency) => frequency / factor));
  },
  dynamic: (rope, context) => ({
    attentionFactor: 1,
    frequencies: {
      kind: 'dynamic',
      theta: context.theta,
      factor: required(rope, 'factor', context),
      maxPositions: context.config.max_position_embeddings,
    },
  }),
  // Sections for positions in time, height and width, which are equal for text.
  mrope: (_, { inverse }) => fixed(inverse),
  llama3,
  yarn,
  longrope,
  su: longrope,
  proportional,
};

/** Partial rotary embedding with the frequencies of a full one. Other pairs have frequency 0 (Gemma 4). */
function proportional(rope: RopeConfig, { inverse }: RotaryContext): Turning {
  const rotatedPairs = Math.trunc((rope.partial_rotary_factor ?? 1) * inverse.length);
  return fixed(
    inverse.map((frequency, i) => (i < rotatedPairs ? frequency / (rope.factor ?? 1) : 0)),
  );
}

function llama3(rope: RopeConfig, context: RotaryContext): Turning {
  const factor = required(rope, 'factor', context);
  const low = required(rope, 'low_freq_factor', context);
  const high = required(rope, 'high_freq_factor', context);
  const original = originalPositions(rope, context.config);
  return fixed(
    context.inverse.map((frequency) => {
      const turns = (original * frequency) / (2 * Math.PI);
      const smooth = Math.min(1, Math.max(0, (turns - low) / (high - low)));
      return (1 - smooth) * (frequency / factor) + smooth * frequency;
    }),
  );
}

/** YaRN (arXiv 2309.00071): slow turns are stretched by `factor`, fast ones stay. */
function yarn(rope: RopeConfig, context: RotaryContext): Turning {
  const { inverse, dimensions, theta, config } = context;
  const original = originalPositions(rope, config);
  const factor = rope.factor ?? config.max_position_embeddings / original;
  const pairWithTurns = (turns: number): number =>
    (dimensions * Math.log(original / (turns * 2 * Math.PI))) / (2 * Math.log(theta));
  const [first, last] = [pairWithTurns(rope.beta_fast ?? 32), pairWithTurns(rope.beta_slow ?? 1)];
  const truncates = rope.truncate ?? true;
  const low = Math.max(0, truncates ? Math.floor(first) : first);
  const high = Math.min(dimensions - 1, truncates ? Math.ceil(last) : last);
  const stretched = inverse.map((frequency, i) => {
    const ramp = Math.min(1, Math.max(0, (i - low) / (high === low ? 0.001 : high - low)));
    return (frequency / factor) * ramp + frequency * (1 - ramp);
  });
  const { mscale, mscale_all_dim: mscaleAll } = rope;
  const divided = mscale && mscaleAll ? yarnScale(factor, mscaleAll) : 1;
  const defaultScale = yarnScale(factor, divided === 1 ? 1 : (mscale ?? 1)) / divided;
  return { ...fixed(stretched), attentionFactor: rope.attention_factor ?? defaultScale };
}

/** Attention factor of YaRN, applied to queries and keys. */
export function yarnScale(factor: number, mscale = 1): number {
  return factor <= 1 ? 1 : 0.1 * mscale * Math.log(factor) + 1;
}

function longrope(rope: RopeConfig, context: RotaryContext): Turning {
  const { config, inverse } = context;
  const threshold = originalPositions(rope, config);
  const factor = rope.factor ?? config.max_position_embeddings / threshold;
  const scaled = (field: 'short_factor' | 'long_factor'): number[] => {
    const factors = rope[field];
    if (factors?.length !== inverse.length) {
      throw ropeError(
        context,
        field,
        'rotary-list-length-mismatch',
        say`It must be a list of ${inverse.length} numbers.`,
      );
    }
    return inverse.map((frequency, i) => frequency / (factors[i] ?? 1));
  };
  return {
    attentionFactor:
      rope.attention_factor ??
      (factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(threshold))),
    frequencies: {
      kind: 'by-length',
      threshold,
      short: scaled('short_factor'),
      long: scaled('long_factor'),
    },
  };
}

function originalPositions(rope: RopeConfig, config: RotaryConfig): number {
  return (
    config.original_max_position_embeddings ??
    rope.original_max_position_embeddings ??
    config.max_position_embeddings
  );
}

function required(
  rope: RopeConfig,
  field: 'factor' | 'low_freq_factor' | 'high_freq_factor',
  context: RotaryContext,
): number {
  const value = rope[field];
  if (value === undefined) {
    throw ropeError(
      context,
      field,
      'rotary-field-missing',
      say`Rotary scaling of type "${ropeType(rope)}" needs this field.`,
    );
  }
  return value;
}

function ropeError(
  context: RotaryContext,
  field: string,
  code: ErrorCode,
  problem: Message,
): UserError {
  const parent =
    typeof context.config.rope_parameters === 'object' ? 'rope_parameters' : 'rope_scaling';
  return new UserError(code, problem, {
    file: context.file,
    field: `${parent}.${field}`,
    remedy: say`Correct config.json.`,
  });
}

function ropeType(rope: RopeConfig): string {
  return rope.rope_type ?? rope.type ?? 'default';
}

/**
 * Reads the rotary embedding of a config: `rope_parameters` (transformers ≥ 5), or `rope_theta`
 * with `rope_scaling`.
 * @throws UserError for an unknown `rope_type` or a missing field.
 */
export function readRotary(
  config: RotaryConfig,
  headDim: number,
  order: Pick<Rotary, 'interleaved' | 'reversed'>,
  file: string,
): Rotary {
  const rope: RopeConfig = config.rope_parameters ?? config.rope_scaling ?? {};
  const theta = rope.rope_theta ?? config.rope_theta ?? 10_000;
  const fraction =
    ropeType(rope) === 'proportional'
      ? 1
      : (rope.partial_rotary_factor ?? config.partial_rotary_factor ?? 1);
  const dimensions = config.rotary_dim ?? Math.trunc(headDim * fraction);
  if (dimensions < 2 || dimensions % 2 !== 0 || dimensions > maxDimensions) {
    throw new UserError(
      'rotary-size-invalid',
      say`Heads of dimension ${headDim} with a rotary fraction of ${fraction} can't be rotated in pairs.`,
      { file, field: 'head_dim', remedy: say`Correct config.json.` },
    );
  }
  const inverse = Array.from(
    { length: dimensions / 2 },
    (_, i) => theta ** ((-2 * i) / dimensions),
  );
  const context: RotaryContext = { config, file, theta, dimensions, inverse };
  const scale = rotaryScalings[ropeType(rope)];
  if (scale === undefined) {
    throw ropeError(
      context,
      'rope_type',
      'rotary-type-unsupported',
      say`Rotary scaling "${ropeType(rope)}" is not supported, only ${Object.keys(rotaryScalings).join(', ')}.`,
    );
  }
  return { dimensions, ...order, ...scale(rope, context) };
}

/**
 * The config as a type of layer sees it: `rope_parameters` by type (transformers ≥ 5); before, windowed
 * layers had `rope_local_base_freq` and no scaling.
 */
export function layerTypeConfig<T extends RotaryConfig>(config: T, layerType: string): T {
  const { rope_parameters: ropes, rope_local_base_freq: localTheta = 10_000 } = config;
  if (layerType === 'sliding_attention') {
    const own = ropes?.sliding_attention;
    return { ...config, rope_parameters: { rope_theta: localTheta, ...own } };
  }
  return ropes?.full_attention === undefined
    ? config
    : { ...config, rope_parameters: ropes.full_attention };
}

/**
 * Emits cosine and sine tables [batch, 1, sequence, dimensions / 2] of `positionIds`
 * [batch, sequence] (int64).
 */
export function emitRotaryTables(
  graph: GraphBuilder,
  rotary: Rotary,
  positionIds: Value,
): { cos: Value; sin: Value } {
  const positions = graph.op('Cast', [positionIds], { to: 1 });
  const inverse = emitInverseFrequencies(graph, rotary, positions);
  const column = graph.op('Unsqueeze', [positions, graph.ints([1, 3])]);
  const angles = graph.op('Mul', [column, inverse]);
  const scaled = (table: Value): Value =>
    rotary.attentionFactor === 1
      ? table
      : graph.op('Mul', [table, graph.scalar(rotary.attentionFactor)]);
  return {
    cos: scaled(graph.op('Cos', [angles])),
    sin: scaled(graph.op('Sin', [angles])),
  };
}

function emitInverseFrequencies(graph: GraphBuilder, rotary: Rotary, positions: Value): Value {
  const { frequencies, dimensions } = rotary;
  const table = (values: readonly number[]): Value =>
    graph.floats(values, [1, 1, 1, values.length]);
  if (frequencies.kind === 'fixed') {
    return table(frequencies.inverse);
  }
  const last = graph.op('ReduceMax', [positions], { keepdims: 0 });
  const length = graph.op('Add', [last, graph.scalar(1)]);
  if (frequencies.kind === 'by-length') {
    const long = graph.op('Greater', [length, graph.scalar(frequencies.threshold)]);
    return graph.op('Where', [long, table(frequencies.long), table(frequencies.short)]);
  }
  // θ' = θ · (factor · length / maxPositions − (factor − 1))^(d / (d − 2)), inverse = θ'^(−2i / d)
  const { theta, factor, maxPositions } = frequencies;
  const reached = graph.op('Max', [length, graph.scalar(maxPositions)]);
  const stretch = graph.op('Sub', [
    graph.op('Mul', [reached, graph.scalar(factor / maxPositions)]),
    graph.scalar(factor - 1),
  ]);
  const growth = graph.op('Pow', [stretch, graph.scalar(dimensions / (dimensions - 2))]);
  const base = graph.op('Mul', [growth, graph.scalar(theta)]);
  const exponents = Array.from({ length: dimensions / 2 }, (_, i) => (-2 * i) / dimensions);
  return graph.op('Pow', [base, table(exponents)]);
}

/**
 * Rotates the first `dimensions` of `heads` [batch, heads, sequence, headDim] by the tables [batch | 1, 1, sequence,
 * dimensions / 2]. Interleaved pairs are returned as halves, and pairs with negated angles in reverse order; neither
 * changes the dot product of a query and a key.
 */
export function emitRotation(
  graph: GraphBuilder,
  rotary: Rotary,
  headDim: number,
  heads: Value,
  tables: { readonly cos: Value; readonly sin: Value },
): Value {
  const { dimensions, interleaved, reversed } = rotary;
  return graph.step('rotate', () => {
    const rest = headDim - dimensions;
    const [turned = '', ...untouched] =
      rest === 0
        ? [heads]
        : graph.ops('Split', [heads, graph.ints([dimensions, rest])], 2, { axis: -1 });
    const halves = interleaved ? emitHalves(graph, turned, dimensions) : turned;
    const pair = graph.ops('Split', [halves], 2, { axis: -1 });
    const [first = '', second = ''] = reversed ? pair.toReversed() : pair;
    const { cos, sin } = tables;
    const rotated = [
      graph.op('Sub', [graph.op('Mul', [first, cos]), graph.op('Mul', [second, sin])]),
      graph.op('Add', [graph.op('Mul', [second, cos]), graph.op('Mul', [first, sin])]),
    ];
    return graph.op('Concat', [...rotated, ...untouched], { axis: -1 });
  });
}

/** Emits heads with their dimensions in the order 0, 2, 4, …, 1, 3, 5, …. */
function emitHalves(graph: GraphBuilder, heads: Value, headDim: number): Value {
  const pairs = graph.op('Reshape', [heads, graph.ints([0, 0, 0, headDim / 2, 2])]);
  const halves = graph.op('Transpose', [pairs], { perm: [0, 1, 2, 4, 3] });
  return graph.op('Reshape', [halves, graph.ints([0, 0, 0, headDim])]);
}
