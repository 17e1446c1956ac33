import type { Value } from '../onnx/graph-builder';
import type { VocabularySums } from './vocabulary-sums';

/** Lower bound of the probabilities, so that no sum over them is 0. */
export const leastProbability = 1e-37;

/** Minimum distance of the estimate D from 0 and 1; closer values would be dominated by rounding errors. */
const leastGuess = 1e-3;

/*
 * With δ = ẑ − z and Z = E_p[exp δ], q/p = exp(δ)/Z. So a distance needs only the exponential of δ and sums of
 * products. This is more accurate for small changes than the difference of log p and log q.
 * P is the sum of p, which differs slightly from 1 because of rounding.
 */

/**
 * Jensen–Shannon divergence of p and q, from four passes over the vocabulary: [batch, rows, 1].
 * `from-mixture`: ½[KL(p‖m) + KL(q‖m)]; `to-mixture`: ½[KL(m‖p) + KL(m‖q)].
 */
export function emitJensenShannon(
  sums: VocabularySums,
  p: Value,
  change: Value,
  direction: 'from-mixture' | 'to-mixture',
): Value {
  const { graph } = sums;
  const op = (type: string, ...inputs: Value[]): Value => graph.op(type, inputs);
  const exp = op('Exp', change);
  const weighted = op('Mul', p, exp);
  const z = sums.sum(weighted);
  // log(exp(δ) + Z) = log(m/p) + log(2Z)
  const log = op('Log', op('Add', exp, z));
  const [logZ, log2Z] = [op('Log', z), op('Log', op('Add', z, z))];
  const [total, half] = [sums.sum(p), graph.scalar(0.5)];
  const overP = (x: Value): Value => sums.product(p, x);
  const overQ = (x: Value): Value => op('Div', sums.product(weighted, x), z);
  const offset = op('Mul', log2Z, op('Add', total, graph.scalar(1)));
  if (direction === 'from-mixture') {
    // ½ E_q[δ − log Z − log(m/p)] − ½ E_p[log(m/p)]
    const logRatio = op('Sub', overQ(change), logZ);
    const mixtures = op('Sub', op('Add', overP(log), overQ(log)), offset);
    return op('Mul', op('Sub', logRatio, mixtures), half);
  }
  // ½ (E_p + E_q)[log(m/p) − ½(δ − log Z)]
  const mixtures = op('Sub', op('Add', overP(log), overQ(log)), offset);
  const changes = op('Add', overP(change), overQ(change));
  const logRatio = op('Sub', changes, op('Mul', logZ, op('Add', total, graph.scalar(1))));
  return op('Mul', op('Sub', mixtures, op('Mul', logRatio, half)), half);
}

/** KL(p‖q) = log E_p[exp δ] − E_p[δ]: [batch, rows, 1]. */
export function emitKullbackLeibler(sums: VocabularySums, p: Value, change: Value): Value {
  const { graph } = sums;
  const total = sums.sum(p);
  const mean = (x: Value): Value => graph.op('Div', [sums.product(p, x), total]);
  const logZ = graph.op('Log', [mean(graph.op('Exp', [change]))]);
  return graph.op('Sub', [logZ, mean(change)]);
}

/*
 * Merging ids never increases a divergence (data processing inequality). So the divergence over some ids, with the
 * others merged into one, is a lower bound. p is known at the selected ids only and sums to P there; the share t of q
 * at these ids is unknown. Z = Σ p·exp δ is a sum over the same ids, and s = p·exp δ / Z is q normalized over them.
 */

/**
 * Lower bound of ½[KL(p‖m) + KL(q‖m)] for every t: [batch, rows, 1]. For any numbers D between 0 and 1, the divergence
 * is at least ½(E_p[log D] + E_q[log(1 − D)]) + log 2. D = p/(p + P·s) at the ids, and one D for the others. t only
 * splits E_q between E_s[log(1 − D)] and log(1 − D) of the others, so the smaller of the two is valid for every t.
 */
export function emitJensenShannonBound(sums: VocabularySums, p: Value, change: Value): Value {
  const { graph } = sums;
  const op = (type: string, ...inputs: Value[]): Value => graph.op(type, inputs);
  const one = graph.scalar(1);
  const exp = op('Exp', change);
  const weighted = op('Mul', p, exp);
  const z = sums.sum(weighted);
  const share = sums.sum(p);
  const ratio = op('Div', z, share);
  // log(exp(δ) + Z/P), so D = (Z/P) / exp of it, and 1 − D = exp(δ) / exp of it.
  const log = op('Log', op('Add', exp, ratio));
  const overP = op('Sub', op('Mul', share, op('Log', ratio)), sums.product(p, log));
  const overQ = op('Div', sums.product(weighted, op('Sub', change, log)), z);
  const inside = (x: Value): Value =>
    op('Min', op('Max', x, graph.scalar(leastGuess)), graph.scalar(1 - leastGuess));
  const guess = inside(op('Sub', one, op('Exp', overQ)));
  const rest = op('Relu', op('Sub', one, share));
  const expectationP = op('Add', overP, op('Mul', rest, op('Log', guess)));
  const expectationQ = op('Min', overQ, op('Log', op('Sub', one, guess)));
  return op(
    'Add',
    op('Mul', op('Add', expectationP, expectationQ), graph.scalar(0.5)),
    graph.scalar(Math.LN2),
  );
}

/** Lower bound of KL(p‖q): P times the divergence over the ids, the minimum at t = P. [batch, rows, 1] */
export function emitKullbackLeiblerBound(sums: VocabularySums, p: Value, change: Value): Value {
  return sums.graph.op('Mul', [emitKullbackLeibler(sums, p, change), sums.sum(p)]);
}

/**
 * Angle between z and z + δ, at most π/2: [batch, rows, 1]. 2·arcsin of half the chord between unit vectors is accurate
 * for small angles, unlike arccos near 1; chord² = (‖δ‖² − (‖ẑ‖ − ‖z‖)²) / ‖z‖‖ẑ‖.
 */
export function emitAngle(sums: VocabularySums, z: Value, change: Value): Value {
  const { graph } = sums;
  const op = (type: string, ...inputs: Value[]): Value => graph.op(type, inputs);
  const squares = sums.product(z, z);
  const changeSquares = sums.product(change, change);
  const product = sums.product(z, change);
  // ‖ẑ‖² − ‖z‖²
  const growth = op('Add', op('Add', product, product), changeSquares);
  const norm = op('Sqrt', squares);
  const changedNorm = op('Sqrt', op('Relu', op('Add', squares, growth)));
  const difference = op('Div', growth, op('Add', norm, changedNorm));
  const across = op('Sub', changeSquares, op('Mul', difference, difference));
  const chord = op('Sqrt', op('Relu', op('Div', across, op('Mul', norm, changedNorm))));
  const half = op('Min', op('Mul', chord, graph.scalar(0.5)), graph.scalar(Math.SQRT1_2));
  return op('Mul', op('Asin', half), graph.scalar(2));
}
