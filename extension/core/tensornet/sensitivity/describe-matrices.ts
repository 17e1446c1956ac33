import type { LayeredModel } from '../../models/layered-model';
import type { LayerStack } from '../../models/layer-stacks';
import type { LinearLayer, ModelMatrix, EmbeddingOrHead } from '../../models/matrix-encoding';
import type { Compression } from '../compression-choice';
import { compressionKey } from './expand-compressions';
import type {
  LayerSensitivity,
  MatrixSensitivity,
  EmbeddingOrHeadSensitivity,
  SensitivityEntry,
} from './sensitivity-profile';
import { addTimes } from './timing';
import type { Timing } from './timing';

/** Describes a linear layer, or that of all experts, with its measured compressions. */
export function describeLayer(
  { summary }: LayeredModel,
  stack: LayerStack,
  compressions: readonly Compression[],
  known: ReadonlyMap<string, SensitivityEntry>,
  timing: Timing,
): LayerSensitivity {
  const { sublayer, role, layers } = stack;
  const [expert, ...others] = layers.map((layer) => layer.expert?.index);
  const { id = '', block = 0 } = summary.sublayers[sublayer] ?? {};
  return {
    ...{ sublayer: id, block, role },
    ...(expert === undefined || others.length > 0 ? {} : { expert }),
    ...describeMatrix(stack, layers, compressions, known, timing),
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
    ...describeMatrix(matrix, [matrix], compressions, known, timing),
  };
}

function describeMatrix(
  { id, out, in: input }: Pick<ModelMatrix, 'id' | 'out' | 'in'>,
  stored: readonly (ModelMatrix & Pick<LinearLayer, 'expert'>)[],
  compressions: readonly Compression[],
  known: ReadonlyMap<string, SensitivityEntry>,
  timing: Timing,
): MatrixSensitivity {
  const times = stored.map((matrix) => {
    const { form = { kind: 'dense', weight: { shape: [matrix.out, matrix.in] } } } = matrix;
    return timing(matrix, form);
  });
  return {
    tensor: id,
    out,
    in: input,
    parameters: out * input,
    bytes: stored.reduce((sum, { weight }) => sum + weight.length, 0),
    ...addTimes(times),
    entries: compressions.flatMap((compression) => known.get(matrixKey(id, compression)) ?? []),
  };
}

/** Key of a compression of any matrix. */
export function matrixKey(tensor: string, compression: Compression): string {
  return `${tensor} ${compressionKey(compression)}`;
}
