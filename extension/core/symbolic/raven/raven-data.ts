import { seededRandom } from '../../data/random';
import { drawMatrix, drawType, hasConstantColor } from './matrix';
import type { RavenMatrix } from './matrix';
import { backgrounds, matrixTypes } from './matrix-types';
import type { MatrixType } from './matrix-types';
import { renderMatrix } from './render';
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
