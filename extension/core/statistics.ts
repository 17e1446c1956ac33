/** The value in the middle, the mean of two where there are two; NaN of nothing. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  const [low, high] = [sorted[Math.ceil(middle) - 1], sorted[Math.floor(middle)]];
  return ((low ?? Number.NaN) + (high ?? Number.NaN)) / 2;
}

/** Φ(z) of the standard normal distribution, within 2e-7 (Abramowitz and Stegun, 7.1.26). */
export function normalCdf(z: number): number {
  const x = Math.abs(z) / Math.SQRT2;
  const t = 1 / (1 + 0.3275911 * x);
  const polynomial = [1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592].reduce(
    (sum, coefficient) => (sum + coefficient) * t,
    0,
  );
  const tail = (polynomial * Math.exp(-x * x)) / 2;
  return z < 0 ? tail : 1 - tail;
}

/** The z that a standard normal variable exceeds with probability `tail`, 0 < tail ≤ ½; error below 5e-4 (26.2.23). */
export function normalQuantile(tail: number): number {
  const t = Math.sqrt(-2 * Math.log(tail));
  const above = 2.515517 + t * (0.802853 + t * 0.010328);
  const below = 1 + t * (1.432788 + t * (0.189269 + t * 0.001308));
  return Math.max(0, t - above / below);
}

/** Like {@link normalQuantile}, for Student's t with at least 3 degrees of freedom (Gaver and Kafadar, 1984). */
export function studentQuantile(tail: number, freedom: number): number {
  const z = normalQuantile(tail);
  const exponent = (z * z * (freedom - 1.5)) / (freedom - 1) ** 2;
  return Math.sqrt(freedom * Math.expm1(exponent));
}

export const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);

/** Sample standard deviation (divisor n − 1); undefined for fewer than two values. */
export function sampleDeviation(values: readonly number[]): number | undefined {
  if (values.length < 2) {
    return undefined;
  }
  const middle = mean(values);
  const squares = values.reduce((sum, value) => sum + (value - middle) ** 2, 0);
  return Math.sqrt(squares / (values.length - 1));
}
