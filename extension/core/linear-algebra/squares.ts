/** Σ x², added in float64. Looping over single values instead of pairs takes ten times as long. */
export function sumOfSquares(numbers: Float32Array): number {
  let [even, odd] = [0, 0];
  for (let i = 0; i < numbers.length; i += 2) {
    even += (numbers[i] ?? 0) ** 2;
    odd += (numbers[i + 1] ?? 0) ** 2;
  }
  return even + odd;
}

/** ‖ŷ − y‖² / ‖y‖²; ‖ŷ‖² if y is 0. */
export function relativeSquares(found: Float32Array, wanted: Float32Array): number {
  let [difference, whole] = [0, 0];
  for (let i = 0; i < wanted.length; i++) {
    const y = wanted[i] ?? 0;
    difference += ((found[i] ?? 0) - y) ** 2;
    whole += y * y;
  }
  return whole > 0 ? difference / whole : difference;
}

/** √(mean x²); 0 for an empty array. */
export function rootMeanSquare(numbers: Float32Array): number {
  return Math.sqrt(sumOfSquares(numbers) / Math.max(1, numbers.length));
}
