/**
 * Simulated time of a search on many workers, from measured times of its work items. The same inputs give the same
 * numbers.
 */

/**
 * @typedef {object} Search
 * @property {number} sublayers
 * @property {number} removals number of rounds; each removes one sublayer
 * @property {number} sequences
 * @property {number} evaluationSeconds what a sublayer takes on a sequence, with its share of head and metric
 * @property {number} evaluated share of all evaluations of a round that is made
 * @property {number} waves pieces of a round, one after the other, of a sequence
 *
 * @typedef {object} Measured
 * @property {readonly number[]} spread what pieces took, as multiples of what was expected
 * @property {number} queueSeconds from an order to its result, besides the piece
 * @property {number} reduceSeconds what the job's own process takes for each candidate and sequence
 */

/**
 * Sequences stay with the worker that has their trajectories; one that has nothing left takes one of another's, and
 * runs the model on it first. A wave ends when all sequences are measured.
 * @param {Search} search
 * @param {Measured} measured
 * @param {number} workers
 * @returns {{seconds: number, busy: number}} of the whole, and the share of it in which workers compute
 */
export function simulate(search, measured, workers) {
  const { sublayers, removals, sequences, evaluationSeconds, evaluated, waves } = search;
  const { spread, queueSeconds, reduceSeconds } = measured;
  const random = generator(1);
  /** @param {number} evaluations */
  const piece = (evaluations) =>
    evaluations * evaluationSeconds * (spread[Math.floor(random() * spread.length)] ?? 1);
  const owners = Array.from({ length: sequences }, (_, lane) => lane % workers);
  let seconds = 0;
  let computed = 0;
  /**
   * @param {number} evaluations of each sequence
   * @param {number} again what somebody else has to run first
   */
  const wave = (evaluations, again) => {
    const waiting = [...owners.keys()];
    const free = Array.from({ length: workers }, () => 0);
    while (waiting.length > 0) {
      const worker = free.indexOf(Math.min(...free));
      const own = waiting.findIndex((lane) => owners[lane] === worker);
      const [lane = 0] = waiting.splice(own, 1);
      const took = piece(evaluations + (own < 0 ? again : 0));
      owners[lane] = worker;
      computed += took;
      // This process sends itself nothing.
      free[worker] = (free[worker] ?? 0) + took + (worker === 0 ? 0 : queueSeconds);
    }
    seconds += Math.max(...free);
  };
  // The original is run on every sequence, then candidates are measured round by round.
  wave(sublayers, 0);
  for (let left = sublayers; left > sublayers - removals; left--) {
    for (let part = 0; part < waves; part++) {
      wave((evaluated * left * (left + 1)) / 2 / waves, left);
    }
    seconds += left * sequences * reduceSeconds;
  }
  return { seconds, busy: computed / (workers * seconds) };
}

/**
 * Numbers from 0 to 1 that follow from a seed (mulberry32).
 * @param {number} seed
 */
function generator(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
