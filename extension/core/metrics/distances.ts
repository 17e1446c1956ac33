import type { Value } from '../onnx/graph-builder';
import type { VocabularySums } from './vocabulary-sums';

/** Probabilities below this are raised to it, so that no sum over them is 0. */
export const leastProbability = 1e-37;

/** Nearer to 0 and 1 a guess would make more of rounding than it tells. */
const leastGuess = 1e-3;

/*
 * With δ = ẑ − z and Z = E_p[exp δ], q/p = exp(δ)/Z. So a distance needs the exponential of δ alone, and
 * sums of products for the rest; and it does not lose what little a small change makes, as a difference
 * of the logarithms of p and q would. P is the sum of p, which rounding leaves a little off 1.
 */

/**
 * Jensen–Shannon divergence of p and q, from four passes over the vocabulary: [batch, rows, 1].
 * `from-mixture` is ½[KL(p‖m) + KL(q‖m)], `to-mixture` ½[KL(m‖p) + KL(m‖q)].
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
  const z = sums.of(weighted);
  // log(exp(δ) + Z) = log(m/p) + log(2Z)
  const log = op('Log', op('Add', exp, z));
  const [logZ, log2Z] = [op('Log', z), op('Log', op('Add', z, z))];
  const [total, half] = [sums.of(p), graph.scalar(0.5)];
  const overP = (x: Value): Value => sums.ofProduct(p, x);
  const overQ = (x: Value): Value => op('Div', sums.ofProduct(weighted, x), z);
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
  const total = sums.of(p);
  const mean = (x: Value): Value => graph.op('Div', [sums.ofProduct(p, x), total]);
  const logZ = graph.op('Log', [mean(graph.op('Exp', [change]))]);
  return graph.op('Sub', [logZ, mean(change)]);
}

/*
 * Taking ids together makes no divergence greater (data processing inequality). So one over some ids, the rest taken
 * as one, bounds it from below. p is given for these ids alone and sums to P; which share t of q they have is unknown
 * without the rest. Z = Σ p·exp δ is over these ids too, and s = p·exp δ / Z is q among them.
 */

/**
 * At most ½[KL(p‖m) + KL(q‖m)], whatever t is: [batch, rows, 1]. For any numbers D between 0 and 1 that divergence
 * is at least ½(E_p[log D] + E_q[log(1 − D)]) + log 2. D = p/(p + P·s) at the ids and one D for the rest; t only
 * divides E_q between E_s[log(1 − D)] and log(1 − D) of the rest, so the smaller of the two is what holds for every t.
 */
export function emitJensenShannonBound(sums: VocabularySums, p: Value, change: Value): Value {
  const { graph } = sums;
  const op = (type: string, ...inputs: Value[]): Value => graph.op(type, inputs);
  const one = graph.scalar(1);
  const exp = op('Exp', change);
  const weighted = op('Mul', p, exp);
  const z = sums.of(weighted);
  const share = sums.of(p);
  const ratio = op('Div', z, share);
  // log(exp(δ) + Z/P), so that D = (Z/P) / exp of it, and 1 − D = exp(δ) / exp of it.
  const log = op('Log', op('Add', exp, ratio));
  const overP = op('Sub', op('Mul', share, op('Log', ratio)), sums.ofProduct(p, log));
  const overQ = op('Div', sums.ofProduct(weighted, op('Sub', change, log)), z);
  const inside = (x: Value): Value =>
    op('Min', op('Max', x, graph.scalar(leastGuess)), graph.scalar(1 - leastGuess));
  const guess = inside(op('Sub', one, op('Exp', overQ)));
  const rest = op('Relu', op('Sub', one, share));
  const ofP = op('Add', overP, op('Mul', rest, op('Log', guess)));
  const ofQ = op('Min', overQ, op('Log', op('Sub', one, guess)));
  return op('Add', op('Mul', op('Add', ofP, ofQ), graph.scalar(0.5)), graph.scalar(Math.LN2));
}

/** At most KL(p‖q): P times the divergence among the ids, which t = P leaves of it, [batch, rows, 1]. */
export function emitKullbackLeiblerBound(sums: VocabularySums, p: Value, change: Value): Value {
  return sums.graph.op('Mul', [emitKullbackLeibler(sums, p, change), sums.of(p)]);
}

/**
 * The angle between z and z + δ, at most a right one: [batch, rows, 1]. 2·arcsin of half the chord between
 * unit vectors keeps its accuracy where arccos near 1 loses it; chord² = (‖δ‖² − (‖ẑ‖ − ‖z‖)²) / ‖z‖‖ẑ‖.
 */
export function emitAngle(sums: VocabularySums, z: Value, change: Value): Value {
  const { graph } = sums;
  const op = (type: string, ...inputs: Value[]): Value => graph.op(type, inputs);
  const squares = sums.ofProduct(z, z);
  const changeSquares = sums.ofProduct(change, change);
  const product = sums.ofProduct(z, change);
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
