import { paletteColor } from './palette';

/** Number of equal steps between both ends of the palette; neighbors differ by at most 5 of 255 in a channel. */
const STEPS = 100;
const PREFIX = 'palette-';
let isAdopted = false;

/**
 * Gives an element the color of a position in [0, 1] as the CSS variable `--cell`, or removes it. Elements share the
 * styles of a class, unlike those of their style attributes, which matters to thousands of cells.
 */
export function setPaletteClass(element: Element, position: number | undefined): void {
  adoptRules();
  const step =
    position === undefined ? undefined : Math.round(Math.min(Math.max(position, 0), 1) * STEPS);
  const others = element.className.split(' ').filter((name) => !name.startsWith(PREFIX));
  const names = [...others, ...(step === undefined ? [] : [`${PREFIX}${step}`])].join(' ');
  if (element.className !== names) element.className = names;
}

function adoptRules(): void {
  if (isAdopted) return;
  isAdopted = true;
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(
    Array.from(
      { length: STEPS + 1 },
      (_, step) => `.${PREFIX}${step} { --cell: ${paletteColor(step / STEPS)} }`,
    ).join('\n'),
  );
  document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
}
