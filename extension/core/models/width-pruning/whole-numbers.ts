export function greatestDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestDivisor(b, a % b);
}

export const leastCommonMultiple = (a: number, b: number): number =>
  (a / greatestDivisor(a, b)) * b;
