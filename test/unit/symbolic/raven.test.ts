import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../../extension/core/data/random';
import { drawMatrix, hasConstantColor } from '../../../extension/core/symbolic/raven/matrix';
import type { PanelComponent, RavenMatrix } from '../../../extension/core/symbolic/raven/matrix';
import {
  attributes,
  backgrounds,
  matrixKinds,
  matrixTypes,
} from '../../../extension/core/symbolic/raven/matrix-types';
import type { MatrixKind } from '../../../extension/core/symbolic/raven/matrix-types';
import {
  drawRaven,
  baselineAccuracies,
  renderMatrix,
} from '../../../extension/core/symbolic/raven/raven-data';
import type { RavenExample, RavenMode } from '../../../extension/core/symbolic/raven/raven-data';
import { placesRange, startRange } from '../../../extension/core/symbolic/raven/rules';
import type { Rule } from '../../../extension/core/symbolic/raven/rules';

const draws = 4000;
const random = seededRandom(7);
const matrices = Array.from({ length: draws }, (_, i) =>
  drawMatrix(matrixTypes[i % matrixTypes.length] ?? 'ONE_SHAPE', random),
);

type Rows<T> = readonly (readonly T[])[];

/** Attributes of one component, row by row. */
function makeRows<T>(
  { panels }: RavenMatrix,
  component: number,
  value: (shown: PanelComponent) => T,
): Rows<T> {
  return [0, 3, 6].map((start) =>
    panels
      .slice(start, start + 3)
      .flatMap((panel) => panel[component] ?? [])
      .map(value),
  );
}

/** True if rows of numbers follow a rule, reimplemented from the rules' definition. */
function follows(rule: Rule, rows: Rows<number>): boolean {
  const each = (holds: (a: number, b: number, c: number) => boolean): boolean =>
    rows.every(([a = 0, b = 0, c = 0]) => holds(a, b, c));
  switch (rule.kind) {
    case 'constant':
      return each((a, b, c) => a === b && b === c);
    case 'progression':
      return each((a, b, c) => b - a === rule.by && c - b === rule.by);
    case 'arithmetic':
      return each((a, b, c) => (rule.sign > 0 ? a + b === c : a - b === c));
    case 'distribute-three': {
      const sets = rows.map((row) => [...row].sort((a, b) => a - b).join());
      const columns = [0, 1, 2].map((column) => new Set(rows.map((row) => row[column])).size);
      return new Set(sets).size === 1 && columns.every((size) => size === 3);
    }
  }
}

function followsForPlaces(rule: Rule, rows: Rows<readonly number[]>, slots: number): boolean {
  const code = (places: readonly number[]): number =>
    places.reduce((bits, place) => bits | (1 << place), 0);
  const codes = rows.map((row) => row.map(code));
  switch (rule.kind) {
    case 'progression': {
      const moved = (places: readonly number[]): number =>
        code(places.map((place) => (place + rule.by + slots) % slots));
      return rows.every(([a = [], b = [], c = []]) => moved(a) === code(b) && moved(b) === code(c));
    }
    case 'arithmetic':
      return codes.every(([a = 0, b = 0, c = 0]) => c === (rule.sign > 0 ? a | b : a & ~b));
    case 'constant':
    case 'distribute-three':
      return follows(rule, codes);
  }
}

/** Attributes of a matrix that its rules and its type don't allow. */
function findFaults(matrix: RavenMatrix): string[] {
  const kinds: MatrixKind['components'] = matrixKinds[matrix.type].components;
  return kinds.flatMap((kind, i) => {
    const rules = matrix.rules[i];
    if (rules === undefined) {
      return ['no rules'];
    }
    const color = makeRows(matrix, i, (shown) => shown.color);
    const shape = makeRows(matrix, i, (shown) => shown.shape);
    const size = makeRows(matrix, i, (shown) => shown.size);
    const places = makeRows(matrix, i, (shown) => shown.places.map(({ slot }) => slot));
    const counts = places.map((row) => row.map((taken) => taken.length));
    const isFixed = rules.arranges === 'position' || rules.arrangement.kind === 'constant';
    const within = (rows: Rows<number>, low: number, high: number): boolean =>
      rows.flat().every((index) => index >= low && index <= high);
    const holds = {
      color: follows(rules.color, color) && within(color, 0, kind.maxColor),
      shape: follows(rules.shape, shape) && within(shape, 0, attributes.shape.length - 1),
      size: follows({ kind: 'constant' }, size) && within(size, kind.minSize, 5),
      arrangement: isFixed
        ? followsForPlaces(rules.arrangement, places, kind.slots.length)
        : follows(rules.arrangement, counts),
      places:
        within(counts, 1, kind.slots.length) &&
        places.flat().every((taken) => new Set(taken).size === taken.length) &&
        within(places.flat(), 0, kind.slots.length - 1),
    };
    return Object.entries(holds).flatMap(([what, held]) =>
      held ? [] : [`${what}: ${JSON.stringify(matrix)}`],
    );
  });
}

describe('Matrices', () => {
  it('follow their rules in every attribute, within its bounds', () => {
    expect(matrices.flatMap(findFaults)).toEqual([]);
    const seen = matrices
      .flatMap(({ rules }) => rules)
      .flatMap(({ color, shape, arranges, arrangement }) => [
        `color ${color.kind}`,
        `shape ${shape.kind}`,
        `${arranges} ${arrangement.kind}`,
      ]);
    // All rules were met: four of colors, three of shapes, four each of positions and numbers.
    expect(new Set(seen).size).toBe(15);
  });

  it('have few rules if there is no room for others', () => {
    expect(startRange({ kind: 'progression', by: 2 }, { low: 1, high: 4 })).toBeUndefined();
    expect(startRange({ kind: 'progression', by: -2 }, { low: 0, high: 4 })).toEqual({
      low: 4,
      high: 4,
    });
    expect(placesRange({ kind: 'progression', by: 2 }, 4)).toBeUndefined();
    expect(placesRange({ kind: 'arithmetic', sign: -1 }, 4)).toEqual({ low: 2, high: 3 });
    for (const { rules } of matrices.filter(({ type }) => type === 'ONE_SHAPE')) {
      expect(rules[0]?.arrangement.kind).toBe('constant');
    }
  });

  it('are labelled by their color rules; a shape in a shape always is', () => {
    const inner = matrices.filter(({ type }) => type === 'SHAPE_IN_SHAPE');
    expect(inner.length).toBeGreaterThan(600);
    expect(inner.every(hasConstantColor)).toBe(true);
    expect(inner.some(({ rules }) => rules[1]?.color.kind !== 'constant')).toBe(true);
    const alone = matrices.filter(({ type }) => type === 'ONE_SHAPE');
    expect(alone.some(hasConstantColor) && !alone.every(hasConstantColor)).toBe(true);
  });
});

function take(count: number, size: number, mode: RavenMode, seed: number): RavenExample[] {
  const source = drawRaven({ size, mode, seed });
  return Array.from({ length: count }, () => source.next().value);
}

describe('Data', () => {
  // Small pictures cost as much as large ones: most of the examples are drawn, not looked at.
  const faithful = take(3000, 16, 'faithful', 1);

  it('have the types and the labels in their proportions', () => {
    const within = (share: number, expected: number): void => {
      const deviation = Math.sqrt((expected * (1 - expected)) / faithful.length);
      expect(Math.abs(share - expected)).toBeLessThan(4 * deviation);
    };
    for (const type of matrixTypes) {
      const count = faithful.filter(({ matrix }) => matrix.type === type).length;
      within(count / faithful.length, matrixKinds[type].probability);
    }
    within(faithful.filter(({ label }) => label).length / faithful.length, 0.41875);
    const { majority, shortcut } = baselineAccuracies(faithful);
    within(majority, 0.58125);
    within(shortcut, 0.73125);
  });

  it('leave out the type that reveals the label, in balanced mode', () => {
    const balanced = take(600, 16, 'balanced', 1);
    expect(balanced.some(({ matrix }) => matrix.type === 'SHAPE_IN_SHAPE')).toBe(false);
    const { majority, shortcut } = baselineAccuracies(balanced);
    expect(shortcut).toBe(majority);
  });

  it('follow from the seed', () => {
    expect(take(3, 32, 'faithful', 5)).toEqual(take(3, 32, 'faithful', 5));
    expect(take(3, 32, 'faithful', 5)).not.toEqual(take(3, 32, 'faithful', 6));
  });
});

describe('renderMatrix', () => {
  const matrix = drawMatrix('SHAPE_IN_SHAPE', seededRandom(9));

  it('draws colors of the palette, averaged in smaller pictures', () => {
    const palette = new Set<number>([...attributes.color, ...backgrounds]);
    const large = renderMatrix(matrix, 140, 128);
    expect(large.length).toBe(128 * 128);
    expect(large.every((gray) => palette.has(gray))).toBe(true);
    const small = renderMatrix(matrix, 140, 32);
    const mean = [0, 1, 2, 3].flatMap((y) => [0, 1, 2, 3].map((x) => large[y * 128 + x] ?? 0));
    expect(small[0]).toBe(Math.round(mean.reduce((sum, gray) => sum + gray, 0) / 16));
    expect(small.length).toBe(32 * 32);
  });

  it('draws lines between panels, the outer shape white, and a border', () => {
    const picture = renderMatrix(matrix, 140, 128);
    const pixel = (x: number, y: number): number | undefined => picture[y * 128 + x];
    expect([pixel(42, 5), pixel(84, 100), pixel(7, 42), pixel(100, 84)]).toEqual([0, 0, 0, 0]);
    expect(pixel(0, 0)).toBe(140);
    // From the middle of a panel's outer shape outwards: white, border, background.
    const column = Array.from({ length: 21 }, (_, i) => pixel(21, 21 + i));
    const outwards = column.slice(column.lastIndexOf(255));
    expect(outwards.filter((gray, i) => gray !== outwards[i - 1])).toEqual([255, 0, 140]);
  });

  it('distinguishes shapes by the uncovered area', () => {
    const covered = (shape: number): number => {
      const shown = { shape, color: 0, size: 5, places: [{ slot: 0, angle: 1 }] };
      const panels = Array.from({ length: 9 }, () => [shown]);
      const picture = renderMatrix({ type: 'ONE_SHAPE', rules: [], panels }, 28, 128);
      return picture.filter((gray) => gray === 255).length / 9;
    };
    const radius = 0.9 * 21;
    const corners = [3, 4, 5, 6];
    corners.forEach((count, shape) => {
      const inner = radius * Math.cos(Math.PI / count) - 1;
      const area = count * inner ** 2 * Math.tan(Math.PI / count);
      expect(Math.abs(covered(shape) / area - 1)).toBeLessThan(0.07);
    });
    expect(Math.abs(covered(4) / (Math.PI * (radius - 1) ** 2) - 1)).toBeLessThan(0.07);
  });
});
