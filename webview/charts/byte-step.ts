/** A round step, in binary units, that divides `most` bytes into four to ten parts. */
export function byteStep(most: number): number {
  if (most <= 0) return 1;
  const unit = 1024 ** Math.floor(Math.log2(most) / 10);
  const rough = most / unit / 5;
  const decade = 10 ** Math.floor(Math.log10(rough));
  const factor = [1, 2, 5].findLast((one) => one * decade <= rough) ?? 1;
  return factor * decade * unit;
}
