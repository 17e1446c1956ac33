import type { LayeredModel } from '../../models/layered-model';
import type { LinearLayer, ModelMatrix, EmbeddingOrHead } from '../../models/matrix-encoding';
import type { Compression } from '../compression-choice';
import { compressionKey } from './compressions-of';
import type {
  LayerSensitivity,
  MatrixSensitivity,
  EmbeddingOrHeadSensitivity,
  SensitivityEntry,
} from './sensitivity-profile';
import type { Timing } from './timing';

/** Describes a linear layer with its measured compressions. */
export function describeLayer(
  { summary }: LayeredModel,
  layer: LinearLayer,
  compressions: readonly Compression[],
  known: ReadonlyMap<string, SensitivityEntry>,
  timing: Timing,
): LayerSensitivity {
  const { sublayer, role, expert } = layer;
  const { id = '', block = 0 } = summary.sublayers[sublayer] ?? {};
  return {
    ...{ sublayer: id, block, role },
    ...(expert === undefined ? {} : { expert: expert.index }),
    ...describeMatrix(layer, compressions, known, timing),
  };
}

/** Describes an embedding or head with its measured compressions. */
export function describeEmbeddingOrHead(
  matrix: EmbeddingOrHead,
  compressions: readonly Compression[],
  known: ReadonlyMap<string, SensitivityEntry>,
  timing: Timing,
): EmbeddingOrHeadSensitivity {
  const { place, tiedTo } = matrix;
  return {
    place,
    ...(tiedTo === undefined ? {} : { tiedTo }),
    ...describeMatrix(matrix, compressions, known, timing),
  };
}

function describeMatrix(
  matrix: ModelMatrix & Pick<LinearLayer, 'expert'>,
  compressions: readonly Compression[],
  known: ReadonlyMap<string, SensitivityEntry>,
  timing: Timing,
): MatrixSensitivity {
  const { id, out, in: input, weight, form } = matrix;
  return {
    tensor: id,
    out,
    in: input,
    parameters: out * input,
    bytes: weight.length,
    ...timing(matrix, form ?? { kind: 'dense', weight: { shape: [out, input] } }),
    entries: compressions.flatMap((compression) => known.get(matrixKey(id, compression)) ?? []),
  };
}

/** Key of a compression of any matrix. */
export function matrixKey(tensor: string, compression: Compression): string {
  return `${tensor} ${compressionKey(compression)}`;
}
