import { choose, shuffle } from '../../data/random';
import type { Random } from '../../data/random';
import { attributes, matrixKinds } from './matrix-types';
import type { MatrixKind, MatrixType } from './matrix-types';
import { drawRules, drawWithin, pick, attributeRanges, placesRange, startRange } from './rules';
import type { ComponentRules, RuledComponent, Range, Rule } from './rules';

/** Shapes of one component in one panel, as indices of attributes. */
export interface PanelComponent {
  readonly shape: number;
  readonly color: number;
  readonly size: number;
  /** Occupied slots with the rotation of their shapes. */
  readonly places: readonly { readonly slot: number; readonly angle: number }[];
}

/** Complete matrix of 3 × 3 panels. */
export interface RavenMatrix {
  readonly type: MatrixType;
  readonly rules: readonly ComponentRules[];
  /** Panels row by row, each with all components. */
  readonly panels: readonly (readonly PanelComponent[])[];
}

/** Label `constant_color`: true if the color rule of any component is constant. */
export const hasConstantColor = ({ rules }: RavenMatrix): boolean =>
  rules.some(({ color }) => color.kind === 'constant');

/** Draws a matrix of a type whose attributes follow rules (Zhang et al. 2019, § 3, as in arXiv 2303.03340). */
export function drawMatrix(type: MatrixType, random: Random): RavenMatrix {
  const kinds: MatrixKind['components'] = matrixKinds[type].components;
  const ruled = drawRules(kinds, random);
  const components = ruled.map((component) => drawComponent(component, random));
  const panels = Array.from({ length: 9 }, (_, panel) =>
    components.flatMap((component) => component[panel] ?? []),
  );
  return { type, rules: ruled.map(({ rules }) => rules), panels };
}

/** Three rows of three columns. */
type Rows<T> = readonly (readonly T[])[];

const rowCount = 3;

/**
 * Draws values of an attribute under a rule, row by row.
 * @param range of all values
 */
function drawValues(rule: Rule, range: Range, random: Random): Rows<number> {
  const start = required(startRange(rule, range));
  const rows: number[][] = [];
  switch (rule.kind) {
    case 'constant':
    case 'progression': {
      const by = rule.kind === 'constant' ? 0 : rule.by;
      return repeat(() => {
        const first = drawWithin(start, random);
        return [first, first + by, first + 2 * by];
      });
    }
    case 'arithmetic':
      while (rows.length < rowCount) {
        const first = drawWithin(start, random);
        const high = rule.sign > 0 ? range.high - first : first - range.low;
        const second = drawWithin({ low: range.low, high }, random);
        // Adding 0 twice would look like a constant.
        if (second !== 0 || rows.length !== 1 || rows[0]?.[1] !== 0) {
          rows.push([first, second, first + rule.sign * second]);
        }
      }
      return rows;
    case 'distribute-three': {
      const all = Array.from({ length: range.high - range.low + 1 }, (_, i) => range.low + i);
      return distribute(shuffle(all, random), random);
    }
  }
}

/** Draws sets of slots under a position rule, row by row. */
function drawPlaces(rule: Rule, slots: number, random: Random): Rows<readonly number[]> {
  const range = required(placesRange(rule, slots));
  const draw = (): readonly number[] => choose(drawWithin(range, random), slots, random);
  switch (rule.kind) {
    case 'constant':
    case 'progression': {
      const by = rule.kind === 'constant' ? 0 : rule.by;
      return repeat(() => {
        const first = draw();
        return [0, 1, 2].map((column) =>
          first.map((place) => (place + column * by + 2 * slots) % slots),
        );
      });
    }
    case 'arithmetic':
      return repeat(() => {
        const first = draw();
        for (;;) {
          const second = draw();
          const added = second.filter((place) => !first.includes(place));
          const remaining = first.filter((place) => !second.includes(place));
          const third = rule.sign > 0 ? [...first, ...added] : remaining;
          if ((rule.sign > 0 ? added : remaining).length > 0) {
            return [first, second, third];
          }
        }
      });
    case 'distribute-three': {
      const count = drawWithin(range, random);
      const sets = new Map<string, readonly number[]>();
      while (sets.size < rowCount) {
        const set = choose(count, slots, random);
        sets.set(set.join(), set);
      }
      return distribute([...sets.values()], random);
    }
  }
}

/** First three of `items`, rotated by one or two from row to row. */
function distribute<T>(items: readonly T[], random: Random): Rows<T> {
  const three = items.slice(0, rowCount);
  const turn = random() < 0.5 ? 1 : 2;
  return [0, 1, 2].map((row) => [0, 1, 2].map((column) => three[(column + row * turn) % 3] as T));
}

const repeat = <T>(row: () => readonly T[]): Rows<T> => Array.from({ length: rowCount }, row);

function required(range: Range | undefined): Range {
  if (range === undefined) {
    throw new Error('rules are drawn so that they have room');
  }
  return range;
}

/** Draws one component of all nine panels. */
function drawComponent({ kind, rules }: RuledComponent, random: Random): PanelComponent[] {
  const ranges = attributeRanges(kind);
  const slots = kind.slots.length;
  const sizes = { low: kind.minSize, high: attributes.size.length - 1 };
  const size = drawValues({ kind: 'constant' }, sizes, random).flat();
  const shape = drawValues(rules.shape, ranges.shape, random).flat();
  const color = drawValues(rules.color, ranges.color, random).flat();
  const counted = rules.arranges === 'number' && rules.arrangement.kind !== 'constant';
  const places = counted
    ? drawValues(rules.arrangement, ranges.slots, random)
        .flat()
        .map((count) => choose(count, slots, random))
    : drawPlaces(rules.arrangement, slots, random).flat();
  // Angles have no rules; in a quarter of the components the shapes of a panel share theirs.
  const alike = random() < 0.25;
  return places.map((taken, panel) => {
    const angle = (): number => drawWithin({ low: 0, high: attributes.angle.length - 1 }, random);
    const shared = angle();
    return {
      shape: shape[panel] ?? 0,
      color: color[panel] ?? 0,
      size: size[panel] ?? 0,
      places: taken.map((slot) => ({ slot, angle: alike ? shared : angle() })),
    };
  });
}

/** Draws one of the types by their probabilities. */
export function drawType(types: readonly MatrixType[], random: Random): MatrixType {
  const total = types.reduce((sum, type) => sum + matrixKinds[type].probability, 0);
  let left = random() * total;
  return types.find((type) => (left -= matrixKinds[type].probability) < 0) ?? pick(types, random);
}
