import { DataType } from '../../onnx/graph-builder';
import type { Value } from '../../onnx/graph-builder';
import { floatAttribute, intAttribute } from '../../models/onnx/graph-index';
import { fromFront } from '../../models/onnx/values/shape-rules';
import type { NodeGradient, Rule } from './node-gradient';

const float32: number = DataType.FLOAT;

/** Axes `from` to `rank − 1`. */
const axesFrom = (from: number, rank: number): number[] =>
  Array.from({ length: rank - from }, (_, i) => from + i);

/** 1 / √(variance + ε) */
function inverseDeviation(n: NodeGradient, variance: Value, epsilon: number): Value {
  return n.op('Reciprocal', [n.op('Sqrt', [n.add(variance, n.scalar(epsilon))])]);
}

/**
 * Gradient with respect to x of a norm x̂ = away / deviation with away = x − mean over `axes`; both statistics depend
 * on x: (g − mean g − away · mean(g · away) / deviation²) / deviation, with g = dL/dx̂.
 */
function centered(
  n: NodeGradient,
  { g, away, along, inverse }: Readonly<Record<'g' | 'away' | 'along' | 'inverse', Value>>,
  axes: readonly number[],
): Value {
  const mean = n.graph.reduce('ReduceMean', g, axes, 1);
  const share = n.mul(n.mul(along, inverse), inverse);
  return n.mul(n.sub(n.sub(g, mean), n.mul(away, share)), inverse);
}

/** Layer norm (Ba et al. 2016); its second and third output are the mean and the inverse deviation. */
const layerNorm: Rule = (n) => {
  const [scale, bias] = [n.input(1), n.input(2)];
  const rank = n.rankOf(n.x);
  const axis = fromFront(intAttribute(n.node, 'axis', -1), rank);
  const axes = axesFrom(axis, rank);
  // For double inputs these outputs are single precision, so they are recomputed.
  const stored = n.typeOf(n.x) === float32;
  const mean = stored ? n.output(1) : n.graph.reduce('ReduceMean', n.x, axes, 1);
  const away = n.sub(n.x, mean);
  const inverse = stored
    ? n.output(2)
    : inverseDeviation(
        n,
        n.graph.reduce('ReduceMean', n.mul(away, away), axes, 1),
        floatAttribute(n.node, 'epsilon', 1e-5),
      );
  const product = n.mul(n.dy, away);
  return [
    () => {
      const along = n.graph.reduce('ReduceMean', n.mul(product, scale), axes, 1);
      return centered(n, { g: n.mul(n.dy, scale), away, along, inverse }, axes);
    },
    () =>
      axes.length === 1
        ? n.sumTo(product, n.y, scale, inverse)
        : n.sumTo(n.mul(product, inverse), n.y, scale),
    () => n.sumTo(n.dy, n.y, bias),
  ];
};

/**
 * Batch norm (Ioffe and Szegedy 2015) per channel, axis 1: with given statistics, or with those of the batch
 * (training_mode), whose running statistics have no gradient.
 */
const batchNorm: Rule = (n) => {
  const [, scale, bias, givenMean, givenVariance] = n.node.input;
  const rank = n.rankOf(n.x);
  const others = [0, ...axesFrom(2, rank)];
  const perChannel = (vector = ''): Value =>
    n.reshape(vector, -1, ...axesFrom(2, rank).map(() => 1));
  const training = intAttribute(n.node, 'training_mode', 0) === 1;
  const batchMean = (value: Value): Value => n.graph.reduce('ReduceMean', value, others, 1);
  // With momentum 0 the second and third output are the statistics of the batch.
  const given = training && floatAttribute(n.node, 'momentum', 0.9) === 0;
  const mean = training
    ? given
      ? perChannel(n.output(1))
      : batchMean(n.x)
    : perChannel(givenMean);
  const away = n.sub(n.x, mean);
  const variance = training
    ? given
      ? perChannel(n.output(2))
      : batchMean(n.mul(away, away))
    : perChannel(givenVariance);
  const inverse = inverseDeviation(n, variance, floatAttribute(n.node, 'epsilon', 1e-5));
  const slope = n.mul(perChannel(scale), inverse);
  // Only two sums per channel and the gradient need passes over whole images.
  const total = n.sum(n.dy, others, 1);
  const along = n.sum(n.mul(n.dy, away), others, 1);
  const scaleByInverseSquare = (value: Value): Value => n.mul(n.mul(value, inverse), inverse);
  const fixed = training
    ? []
    : [
        () => n.reshapeLike(n.op('Neg', [n.mul(total, slope)]), givenMean ?? ''),
        () =>
          n.reshapeLike(
            n.scale(scaleByInverseSquare(n.mul(along, slope)), -0.5),
            givenVariance ?? '',
          ),
      ];
  return [
    () => {
      const direct = n.mul(n.dy, slope);
      if (!training) {
        return direct;
      }
      const share = n.div(slope, n.ratioOfSizes(n.x, scale ?? ''));
      const byVariance = n.mul(away, scaleByInverseSquare(n.mul(along, share)));
      return n.sub(n.sub(direct, byVariance), n.mul(total, share));
    },
    () => n.reshapeLike(n.mul(along, inverse), scale ?? ''),
    () => n.reshapeLike(total, bias ?? ''),
    ...fixed,
  ];
};

/** Instance norm, per example and channel (Ulyanov et al. 2016); group norms are exported as this. */
const instanceNorm: Rule = (n) => {
  const [, scale, bias] = n.node.input;
  const rank = n.rankOf(n.x);
  const axes = axesFrom(2, rank);
  const mean = (value: Value): Value => n.graph.reduce('ReduceMean', value, axes, 1);
  const away = n.sub(n.x, mean(n.x));
  const epsilon = floatAttribute(n.node, 'epsilon', 1e-5);
  const inverse = inverseDeviation(n, mean(n.mul(away, away)), epsilon);
  const product = n.mul(n.dy, away);
  const gains = n.reshape(scale ?? '', -1, ...axes.map(() => 1));
  const channels = (value: Value, like = ''): Value =>
    n.reshapeLike(n.sum(value, [0, ...axes], 0), like);
  return [
    () => {
      const along = n.mul(mean(product), gains);
      return centered(n, { g: n.mul(n.dy, gains), away, along, inverse }, axes);
    },
    () => channels(n.mul(product, inverse), scale),
    () => channels(n.dy, bias),
  ];
};

export const normalizationRules: Readonly<Record<string, Rule>> = {
  LayerNormalization: layerNorm,
  BatchNormalization: batchNorm,
  InstanceNormalization: instanceNorm,
};
