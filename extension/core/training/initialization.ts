/** Distribution of a parameter's initial values. */
export type Initialization =
  /** Uniform within ±√(3 · gain² / fanIn), gain² = 2 for ReLU (He et al. 2015); PyTorch uses 1/3. */
  | { readonly kind: 'kaiming-uniform'; readonly fanIn: number; readonly gainSquared: number }
  | { readonly kind: 'kaiming-normal'; readonly fanIn: number; readonly gainSquared: number }
  /** Uniform within ±√(6 / (fanIn + fanOut)) (Glorot and Bengio 2010, eq. 16). */
  | { readonly kind: 'xavier-uniform'; readonly fanIn: number; readonly fanOut: number }
  | { readonly kind: 'normal'; readonly deviation: number }
  | { readonly kind: 'constant'; readonly value: number };

/**
 * Draws `count` values that depend on seed and name only, so adding a layer doesn't change the values of the others.
 */
export function drawParameter(
  how: Initialization,
  count: number,
  seed: number,
  name: string,
): Float32Array {
  const uniform = generator(seed, name);
  const numbers = (draw: () => number): Float32Array => Float32Array.from({ length: count }, draw);
  const within = (bound: number) => (): number => bound * (2 * uniform() - 1);
  const normal = (deviation: number) => (): number =>
    deviation * Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
  switch (how.kind) {
    case 'kaiming-uniform':
      return numbers(within(Math.sqrt((3 * how.gainSquared) / how.fanIn)));
    case 'kaiming-normal':
      return numbers(normal(Math.sqrt(how.gainSquared / how.fanIn)));
    case 'xavier-uniform':
      return numbers(within(Math.sqrt(6 / (how.fanIn + how.fanOut))));
    case 'normal':
      return numbers(normal(how.deviation));
    case 'constant':
      return numbers(() => how.value);
  }
}

/** Numbers in [0, 1): SplitMix32 from an FNV-1a hash of seed and name. */
function generator(seed: number, name: string): () => number {
  let state = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(`${seed}:${name}`)) {
    state = Math.imul(state ^ byte, 0x01000193);
  }
  return () => {
    state = (state + 0x9e3779b9) | 0;
    let x = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
    x = Math.imul(x ^ (x >>> 15), 0x735a2d97);
    return ((x ^ (x >>> 15)) >>> 0) / 2 ** 32;
  };
}
