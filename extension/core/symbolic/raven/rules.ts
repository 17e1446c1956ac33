import type { Random } from '../../data/random';
import { attributes } from './matrix-types';
import type { ComponentKind } from './matrix-types';

/** Change of an attribute between the columns of each row. */
export type Rule =
  | { readonly kind: 'constant' }
  | { readonly kind: 'progression'; readonly by: number }
  /** The third column is the first plus or minus the second. */
  | { readonly kind: 'arithmetic'; readonly sign: 1 | -1 }
  /** Each row has the same three values in another order. */
  | { readonly kind: 'distribute-three' };

/** Rules of one component; sizes are constant. */
export interface ComponentRules {
  /** Target of the arrangement rule: positions, or only their number; a constant rule keeps both. */
  readonly arranges: 'position' | 'number';
  readonly arrangement: Rule;
  readonly shape: Rule;
  readonly color: Rule;
}

/** Integers from `low` to `high`, inclusive. */
export interface Range {
  readonly low: number;
  readonly high: number;
}

/** Random item of a list. */
export const pick = <T>(items: readonly T[], random: Random): T =>
  items[Math.floor(random() * items.length)] as T;

/** Random integer of a range, both ends included. */
export const drawWithin = ({ low, high }: Range, random: Random): number =>
  low + Math.floor(random() * (high - low + 1));

/** Index ranges of a component's attributes; for slots, the number of occupied ones. */
export function attributeRanges({
  slots,
  maxColor,
}: ComponentKind): Record<'slots' | 'shape' | 'color', Range> {
  return {
    slots: { low: 1, high: slots.length },
    shape: { low: 0, high: attributes.shape.length - 1 },
    color: { low: 0, high: maxColor },
  };
}

/** A component with its rules. */
export interface RuledComponent {
  readonly kind: ComponentKind;
  readonly rules: ComponentRules;
}

/** Draws rules for all components of a matrix; redraws combinations that don't fit in an attribute's range. */
export function drawRules(kinds: readonly ComponentKind[], random: Random): RuledComponent[] {
  for (;;) {
    const drawn = kinds.map((kind) => ({ kind, rules: drawComponentRules(random) }));
    if (drawn.every(hasRoom)) {
      return drawn;
    }
  }
}

function drawComponentRules(random: Random): ComponentRules {
  return {
    arranges: pick(['position', 'number'], random),
    arrangement: drawRule(ruleKinds, random),
    shape: drawRule(
      ruleKinds.filter((kind) => kind !== 'arithmetic'),
      random,
    ),
    color: drawRule(ruleKinds, random),
  };
}

const ruleKinds: readonly Rule['kind'][] = [
  'constant',
  'progression',
  'arithmetic',
  'distribute-three',
];

function drawRule(kinds: readonly Rule['kind'][], random: Random): Rule {
  const kind = pick(kinds, random);
  switch (kind) {
    case 'progression':
      return { kind, by: pick([-2, -1, 1, 2], random) };
    case 'arithmetic':
      return { kind, sign: pick([1, -1], random) };
    case 'constant':
    case 'distribute-three':
      return { kind };
  }
}

function hasRoom({ kind, rules }: RuledComponent): boolean {
  const { arranges, arrangement, shape, color } = rules;
  const ranges = attributeRanges(kind);
  const starts = [
    arranges === 'number'
      ? startRange(arrangement, ranges.slots)
      : placesRange(arrangement, ranges.slots.high),
    startRange(shape, ranges.shape),
    startRange(color, ranges.color),
  ];
  return starts.every((range) => range !== undefined);
}

const unlessEmpty = (range: Range): Range | undefined =>
  range.low <= range.high ? range : undefined;

/** Start values of a rule that keep the row within the range; undefined if there are none. */
export function startRange(rule: Rule, { low, high }: Range): Range | undefined {
  switch (rule.kind) {
    case 'constant':
      return { low, high };
    case 'progression':
      return unlessEmpty({
        low: low + Math.max(0, -2 * rule.by),
        high: high - Math.max(0, 2 * rule.by),
      });
    case 'arithmetic':
      return low === high
        ? undefined
        : unlessEmpty(rule.sign > 0 ? { low, high: high - low } : { low: 2 * low, high });
    case 'distribute-three':
      return high - low < 2 ? undefined : { low, high };
  }
}

/** Number of the `slots` positions that a position rule can occupy; undefined if none is possible. */
export function placesRange(rule: Rule, slots: number): Range | undefined {
  switch (rule.kind) {
    case 'constant':
      return { low: 1, high: slots };
    case 'progression':
      return unlessEmpty({ low: 1, high: slots - 2 * Math.abs(rule.by) });
    case 'arithmetic':
      // Unions must be of incomplete sets; differences need at least half of the slots to remove some.
      return unlessEmpty({
        low: rule.sign > 0 ? 1 : Math.floor((slots - 1) / 2) + 1,
        high: slots - 1,
      });
    case 'distribute-three':
      return slots < 3 ? undefined : { low: 1, high: slots - 1 };
  }
}
