/** Stops of the viridis color map, as in the heatmap panel: readable with every type of color vision. */
const stops = [
  [68, 1, 84],
  [59, 82, 139],
  [33, 145, 140],
  [94, 201, 98],
  [253, 231, 37],
] as const;

/** Share above which black text is easier to read than white. */
const lightFrom = 0.55;

/** Color of a heatmap cell. `isLight` if dark text is readable on it. */
export interface Shade {
  /** Red, green and blue, 0 to 255. */
  readonly color: readonly [number, number, number];
  readonly isLight: boolean;
}

/** @param share 0 to 1 */
export function viridis(share: number): Shade {
  const position = share * (stops.length - 1);
  const from = stops[Math.floor(position)] ?? stops[0];
  const to = stops[Math.min(stops.length - 1, Math.floor(position) + 1)] ?? from;
  const between = (i: 0 | 1 | 2): number =>
    Math.round(from[i] + (to[i] - from[i]) * (position % 1));
  return { color: [between(0), between(1), between(2)], isLight: share > lightFrom };
}
