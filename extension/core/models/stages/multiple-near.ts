/** A multiple of `divisor` that is close to `value`, and not much below it: how networks round scaled widths. */
export function multipleNear(value: number, divisor: number, least = divisor): number {
  const rounded = Math.max(least, Math.floor(Math.trunc(value + divisor / 2) / divisor) * divisor);
  return rounded < 0.9 * value ? rounded + divisor : rounded;
}
