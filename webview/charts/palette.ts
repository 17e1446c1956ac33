type Rgb = readonly [red: number, green: number, blue: number];

/**
 * Viridis at eleven equal steps (van der Walt and Smith, matplotlib 2.0): even in lightness, so that
 * it reads the same with every kind of color blindness and in grey.
 */
const VIRIDIS: readonly Rgb[] = [
  [68, 1, 84],
  [72, 36, 117],
  [65, 68, 135],
  [53, 95, 141],
  [42, 120, 142],
  [33, 145, 140],
  [34, 168, 132],
  [68, 191, 112],
  [122, 209, 81],
  [189, 223, 38],
  [253, 231, 37],
];

/** Color of a position in [0, 1]; positions outside take the ends' colors. */
export function paletteColor(position: number): string {
  const [red, green, blue] = paletteRgb(position);
  return `rgb(${red}, ${green}, ${blue})`;
}

function paletteRgb(position: number): Rgb {
  const scaled = Math.min(Math.max(position, 0), 1) * (VIRIDIS.length - 1);
  const index = Math.min(Math.floor(scaled), VIRIDIS.length - 2);
  const from = VIRIDIS[index];
  const to = VIRIDIS[index + 1];
  if (from === undefined || to === undefined) throw new RangeError(`No color at ${position}`);
  const mix = (a: number, b: number) => Math.round(a + (b - a) * (scaled - index));
  return [mix(from[0], to[0]), mix(from[1], to[1]), mix(from[2], to[2])];
}

/** Number of patterns that mark parts of the palette for color-blind users. */
export const bands = 5;

/** Pattern of a position, from 0. */
export const bandIndex = (position: number): number =>
  Math.min(Math.floor(Math.max(position, 0) * bands), bands - 1);

/** Text color with the better contrast on a palette position (WCAG contrast). */
export function inkOn(position: number): 'white' | 'black' {
  const color = paletteRgb(position);
  const key = color.reduce((sum, channel) => 256 * sum + channel, 0);
  const ink = knownInks.get(key) ?? (prefersWhite(color) ? 'white' : 'black');
  knownInks.set(key, ink);
  return ink;
}

/** Inks by color; the palette has a few hundred colors. */
const knownInks = new Map<number, 'white' | 'black'>();

function prefersWhite(color: Rgb): boolean {
  const luminance = relativeLuminance(color);
  return 1.05 / (luminance + 0.05) >= (luminance + 0.05) / 0.05;
}

function relativeLuminance(rgb: Rgb): number {
  const [red, green, blue] = rgb.map((channel) => {
    const value = channel / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  }) as [number, number, number];
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

/** Colors at equal steps over the whole palette, for a legend's gradient. */
export function paletteStops(): string[] {
  return VIRIDIS.map((_, index) => paletteColor(index / (VIRIDIS.length - 1)));
}
