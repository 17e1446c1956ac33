import { choose } from '../../data/random';
import type { Random } from '../../data/random';
import { attributes, matrixKinds } from './matrix-types';
import type { MatrixKind, MatrixType } from './matrix-types';
import { drawRules, drawWithin, pick, attributeRanges } from './rules';
import type { ComponentRules, RuledComponent } from './rules';
import { drawPlaces, drawValues } from './rows';

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
