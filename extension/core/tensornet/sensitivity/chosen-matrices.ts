import type { LayeredModel } from '../../models/layered-model';
import { singleLayer, stackExperts } from '../../models/layer-stacks';
import type { LayerStack } from '../../models/layer-stacks';
import type { EmbeddingOrHead, LinearLayer, ModelMatrix } from '../../models/matrix-encoding';
import { UserError } from '../../user-error';
import { embeddingMethods } from '../compression-choice';
import type { Compression } from '../compression-choice';
import { embeddingRequest, embeddingsToMeasure } from '../embedding-and-head-choice';
import { expandCompressions, compressionKey } from './expand-compressions';
import type {
  SensitivitySettings,
  LayerSensitivity,
  MatrixSensitivity,
  EmbeddingOrHeadSensitivity,
  SensitivityEntry,
} from './sensitivity-profile';
import { counted, say } from '../../message';
import { addTimes } from './timing';
import type { Timing } from './timing';

/**
 * Selected linear layers. If types of GGUF files are tried, the experts of a MoE layer are measured together.
 * @throws UserError if there are none
 */
export function chosenLayers(
  model: LayeredModel,
  { roles, blocks, compressions }: Pick<SensitivitySettings, 'roles' | 'blocks' | 'compressions'>,
): LayerStack[] {
  const { sublayers } = model.summary;
  const all = sublayers.flatMap((_, index) => model.sublayer(index).linearLayers);
  if (all.length === 0) {
    noLayers(model);
  }
  const found = all.filter(
    ({ role, sublayer }) =>
      (roles.length === 0 || roles.includes(role)) &&
      (blocks.length === 0 || blocks.includes(sublayers[sublayer]?.block ?? -1)),
  );
  if (found.length === 0) {
    throw new UserError(
      'layers-not-chosen',
      say`No linear layer has the requested roles and blocks.`,
      {
        file: model.summary.path,
        field: 'roles, blocks',
        remedy: say`It has ${[...new Set(all.map(({ role }) => role))].join(', ')} in ${counted(model.summary.blocks, 'block')}.`,
      },
    );
  }
  return compressions.some(({ method }) => method === 'gguf')
    ? stackExperts(model, found)
    : found.map(singleLayer);
}

function noLayers({ summary }: LayeredModel): never {
  throw new UserError(
    'nothing-to-compress',
    say`The sublayers of the model contain no linear layers that can be compressed.`,
    { file: summary.path, remedy: say`Open the model in the explorer to see its parts.` },
  );
}

/**
 * Selected matrices of embedding and head, with the compressions to try on them.
 * @throws UserError if the model has none, or no method supports them
 */
export function chosenEmbeddingAndHead(
  model: LayeredModel,
  { embeddingAndHead = [], compressions }: SensitivitySettings,
): { readonly matrix: EmbeddingOrHead; readonly compressions: readonly Compression[] }[] {
  const requests = compressions.flatMap((request) => embeddingRequest(request) ?? []);
  if (embeddingAndHead.length > 0 && requests.length === 0) {
    throw new UserError(
      'method-not-for-embedding',
      say`None of the methods can compress the embedding and the head.`,
      { field: 'methods', remedy: say`Add one of ${embeddingMethods.join(', ')}.` },
    );
  }
  return embeddingsToMeasure(model, embeddingAndHead).map((matrix) => ({
    matrix,
    compressions: expandCompressions(matrix, requests),
  }));
}

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
    const { encoding = { kind: 'dense', weight: { shape: [matrix.out, matrix.in] } } } = matrix;
    return timing(matrix, encoding);
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
