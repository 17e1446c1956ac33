/** Values of the attributes of shapes (Zhang et al. 2019, RAVEN); rules speak of their indices. */
export const attributes = {
  /** Corners; 0 is a circle. */
  shape: [3, 4, 5, 6, 0],
  /** Gray, 255 being white. */
  color: [255, 224, 196, 168, 140, 112, 84, 56, 28, 0],
  /** Radius in parts of half a slot's side. */
  size: [0.4, 0.5, 0.6, 0.7, 0.8, 0.9],
  /** Degrees. */
  angle: [-90, 0, 90, 180],
} as const;

/** Gray of what lies behind all shapes of a matrix; one of these is drawn. */
export const backgrounds = [28, 56, 84, 112, 140, 168, 196, 224] as const;

/** A square that holds one shape: its centre and side in parts of the panel's side. */
export interface Slot {
  readonly x: number;
  readonly y: number;
  readonly side: number;
}

/** One group of shapes of a panel, which has rules of its own. */
export interface ComponentKind {
  readonly slots: readonly Slot[];
  /** Index of the smallest size. */
  readonly minSize: number;
  /** Index of the darkest colour. */
  readonly maxColor: number;
}

export interface MatrixKind {
  readonly probability: number;
  readonly components: readonly ComponentKind[];
  /** A line through the middle of each panel. */
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

/** The kinds of matrices that arXiv 2303.03340 draws. */
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
  /** The outer shape is white, so that its colour can only be constant: the type tells the label. */
  SHAPE_IN_SHAPE: {
    probability: 0.15,
    components: [component([slot(0.5, 0.5, 1)], 5, 0), component([slot(0.5, 0.5, 0.33)], 5)],
  },
} as const satisfies Readonly<Record<string, MatrixKind>>;

export type MatrixType = keyof typeof matrixKinds;
export const matrixTypes = Object.keys(matrixKinds) as readonly MatrixType[];
