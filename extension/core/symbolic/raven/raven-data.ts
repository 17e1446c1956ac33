import { seededRandom } from '../../data/random';
import { drawMatrix, drawType, hasConstantColor } from './matrix';
import type { RavenMatrix, PanelComponent } from './matrix';
import { backgrounds, matrixTypes, attributes, matrixKinds } from './matrix-types';
import type { MatrixType, MatrixKind, Slot } from './matrix-types';
import { pick } from './rules';

/** `faithful` draws all types; `balanced` excludes the type that determines the label. */
export type RavenMode = 'faithful' | 'balanced';
/** Training images: `faithful` as published, or `balanced` without the shortcut. */
export const ravenModes: readonly RavenMode[] = ['faithful', 'balanced'];

const shortcut: MatrixType = 'SHAPE_IN_SHAPE';

export interface RavenRequest {
  /** Side in pixels. */
  readonly size: number;
  readonly mode: RavenMode;
  readonly seed: number;
}

export interface RavenExample {
  readonly matrix: RavenMatrix;
  /** Gray [size, size]. */
  readonly pixels: Uint8Array;
  /** True if a color rule is constant. */
  readonly label: boolean;
}

/** Draws examples indefinitely. */
export function* drawRaven({ size, mode, seed }: RavenRequest): Generator<RavenExample, never> {
  const random = seededRandom(seed);
  const types = matrixTypes.filter((type) => mode === 'faithful' || type !== shortcut);
  for (;;) {
    const matrix = drawMatrix(drawType(types, random), random);
    const pixels = renderMatrix(matrix, pick(backgrounds, random), size);
    yield { matrix, pixels, label: hasConstantColor(matrix) };
  }
}

/** Accuracies of baselines that don't use the image, 0 to 1. */
export interface RavenLines {
  /** Always predicts the more frequent label. */
  readonly majority: number;
  /** Predicts 1 for the type whose enclosing shape is always white, otherwise 0. */
  readonly shortcut: number;
}

export function baselineAccuracies(examples: readonly RavenExample[]): RavenLines {
  const share = (holds: (example: RavenExample) => boolean): number =>
    examples.filter(holds).length / Math.max(1, examples.length);
  const positive = share(({ label }) => label);
  return {
    majority: Math.max(positive, 1 - positive),
    shortcut: share(({ matrix, label }) => label === (matrix.type === shortcut)),
  };
}

/** Side of the published images in pixels; their lines are one pixel wide. */
const publishedSize = 128;
const black = 0;

/**
 * Draws a matrix as gray [size, size], 0 black, 255 white. Not antialiased, like the published images; smaller images
 * are drawn at a multiple of their size and averaged, which preserves lines and mean values.
 */
export function renderMatrix(matrix: RavenMatrix, background: number, size: number): Uint8Array {
  const scale = Math.max(1, Math.ceil(publishedSize / size));
  const canvas = new Canvas(size * scale, background);
  const side = Math.floor(canvas.size / 3);
  const { components, separator }: MatrixKind = matrixKinds[matrix.type];
  matrix.panels.forEach((panel, place) => {
    const [left, top] = [(place % 3) * side, Math.floor(place / 3) * side];
    panel.forEach((component, i) => {
      for (const { slot, angle } of component.places) {
        drawShape(canvas, component, angle, at(components[i]?.slots[slot], left, top, side));
      }
    });
  });
  for (const line of [1, 2]) {
    canvas.line('vertical', line * side);
    canvas.line('horizontal', line * side);
  }
  if (separator !== undefined) {
    [0, 1, 2].forEach((panel) => {
      canvas.line(separator, panel * side + Math.floor(side / 2));
    });
  }
  return canvas.reduced(scale);
}

interface Circle {
  readonly x: number;
  readonly y: number;
  readonly radius: number;
}

/** Circle in a slot, in pixels. */
function at(slot: Slot | undefined, left: number, top: number, side: number): Circle {
  if (slot === undefined) {
    throw new Error('a place names a slot of its component');
  }
  return { x: left + slot.x * side, y: top + slot.y * side, radius: (slot.side * side) / 2 };
}

function drawShape(
  canvas: Canvas,
  { shape, color, size }: PanelComponent,
  angle: number,
  circle: Circle,
): void {
  const radius = circle.radius * (attributes.size[size] ?? 0);
  const corners = attributes.shape[shape] ?? 0;
  const turn = ((attributes.angle[angle] ?? 0) * Math.PI) / 180;
  canvas.fill(
    { ...circle, radius },
    attributes.color[color] ?? 0,
    signedDistance(corners, radius, turn),
  );
}

/** Signed distance of a point from the boundary of a regular polygon or circle around the origin; negative outside. */
function signedDistance(
  corners: number,
  radius: number,
  turn: number,
): (x: number, y: number) => number {
  if (corners === 0) {
    return (x, y) => radius - Math.hypot(x, y);
  }
  const inner = radius * Math.cos(Math.PI / corners);
  // Polygons have a side at the bottom: one normal points down.
  const directions = Array.from(
    { length: corners },
    (_, i) => Math.PI / 2 + turn + (2 * Math.PI * i) / corners,
  );
  const across = Float64Array.from(directions, Math.cos);
  const down = Float64Array.from(directions, Math.sin);
  // A loop without closures, since it runs for each pixel.
  return (x, y) => {
    let least = Infinity;
    for (let side = 0; side < corners && least >= 0; side++) {
      least = Math.min(least, inner - x * (across[side] ?? 0) - y * (down[side] ?? 0));
    }
    return least;
  };
}

class Canvas {
  private readonly pixels: Float32Array;

  public constructor(
    public readonly size: number,
    background: number,
  ) {
    this.pixels = new Float32Array(size * size).fill(background);
  }

  /** Fills the interior, with a black border of one pixel. */
  public fill(
    { x, y, radius }: Circle,
    color: number,
    depth: (x: number, y: number) => number,
  ): void {
    for (let row = Math.floor(y - radius); row <= y + radius; row++) {
      for (let column = Math.floor(x - radius); column <= x + radius; column++) {
        const deep = depth(column + 0.5 - x, row + 0.5 - y);
        if (deep >= 0) {
          this.pixels[row * this.size + column] = deep < 1 ? black : color;
        }
      }
    }
  }

  /** Draws a line across the whole image, one pixel wide. */
  public line(direction: 'vertical' | 'horizontal', place: number): void {
    for (let i = 0; i < this.size; i++) {
      this.pixels[direction === 'vertical' ? i * this.size + place : place * this.size + i] = black;
    }
  }

  /** Averages squares of `scale` × `scale` pixels. */
  public reduced(scale: number): Uint8Array {
    const size = this.size / scale;
    return Uint8Array.from({ length: size * size }, (_, pixel) => {
      const [row, column] = [Math.floor(pixel / size) * scale, (pixel % size) * scale];
      let sum = 0;
      for (let y = row; y < row + scale; y++) {
        for (let x = column; x < column + scale; x++) {
          sum += this.pixels[y * this.size + x] ?? 0;
        }
      }
      return Math.round(sum / scale ** 2);
    });
  }
}
