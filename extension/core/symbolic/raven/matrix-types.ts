/** Values of the attributes of shapes (Zhang et al. 2019, RAVEN); rules use their indices. */
export const attributes = {
  /** Number of corners; 0 is a circle. */
  shape: [3, 4, 5, 6, 0],
  /** Gray; 255 is white. */
  color: [255, 224, 196, 168, 140, 112, 84, 56, 28, 0],
  /** Radius as a fraction of half a slot's side. */
  size: [0.4, 0.5, 0.6, 0.7, 0.8, 0.9],
  /** Degrees. */
  angle: [-90, 0, 90, 180],
} as const;

/** Gray values of the background of a matrix; one is drawn at random. */
export const backgrounds = [28, 56, 84, 112, 140, 168, 196, 224] as const;

/** Square that contains one shape: its center and side as fractions of the panel's side. */
export interface Slot {
  readonly x: number;
  readonly y: number;
  readonly side: number;
}

/** Group of shapes of a panel with its own rules. */
export interface ComponentKind {
  readonly slots: readonly Slot[];
  /** Index of the smallest size. */
  readonly minSize: number;
  /** Index of the darkest color. */
  readonly maxColor: number;
}

export interface MatrixKind {
  readonly probability: number;
  readonly components: readonly ComponentKind[];
  /** Line through the middle of each panel. */
  readonly separator?: 'vertical' | 'horizontal';
}

const anyColor = attributes.color.length - 1;
const component = (
  slots: readonly Slot[],
  minSize: number,
  maxColor = anyColor,
): ComponentKind => ({
  slots,
  minSize,
  maxColor,
});
const slot = (x: number, y: number, side: number): Slot => ({ x, y, side });
const corners = (near: number, side: number): Slot[] =>
  [near, 1 - near].flatMap((y) => [near, 1 - near].map((x) => slot(x, y, side)));

/** Kinds of matrices in arXiv 2303.03340. */
export const matrixKinds = {
  ONE_SHAPE: { probability: 0.15, components: [component([slot(0.5, 0.5, 1)], 0)] },
  FOUR_SHAPE: { probability: 0.2, components: [component(corners(0.25, 0.5), 3)] },
  FIVE_SHAPE: {
    probability: 0.2,
    components: [component([...corners(0.2, 0.33), slot(0.5, 0.5, 0.33)], 5)],
  },
  TWO_SHAPE_VERTICAL_SEP: {
    probability: 0.15,
    components: [component([slot(0.25, 0.5, 0.5)], 3), component([slot(0.75, 0.5, 0.5)], 3)],
    separator: 'vertical',
  },
  TWO_SHAPE_HORIZONTAL_SEP: {
    probability: 0.15,
    components: [component([slot(0.5, 0.25, 0.5)], 3), component([slot(0.5, 0.75, 0.5)], 3)],
    separator: 'horizontal',
  },
  /** The enclosing shape is white, so its color can only be constant: the type determines the label. */
  SHAPE_IN_SHAPE: {
    probability: 0.15,
    components: [component([slot(0.5, 0.5, 1)], 5, 0), component([slot(0.5, 0.5, 0.33)], 5)],
  },
} as const satisfies Readonly<Record<string, MatrixKind>>;

export type MatrixType = keyof typeof matrixKinds;
export const matrixTypes = Object.keys(matrixKinds) as readonly MatrixType[];
