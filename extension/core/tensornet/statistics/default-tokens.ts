import { defaultCalibration } from '../../data/calibration-defaults';
import type { Compression } from '../compression-choice';
import { compressionMethods } from '../compression-methods';

/** Input size of a layer, and its compression method. */
export interface FittedLayer extends Pick<Compression, 'method'> {
  readonly in: number;
}

/** Maximum default number of tokens, however wide the layers. */
const mostTokens = 32_768;

/** Default number of calibration tokens: more for methods that are fitted to directions of a layer's inputs. */
export function defaultTokens(layers: readonly FittedLayer[]): number {
  const { sequences, length } = defaultCalibration;
  const wanted = layers.reduce(
    (most, layer) => Math.max(most, layer.in * compressionMethods[layer.method].tokensPerInput),
    0,
  );
  return Math.max(sequences * length, Math.min(mostTokens, wanted));
}
