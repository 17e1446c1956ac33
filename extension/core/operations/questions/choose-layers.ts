import { chooseForAll } from '../../pipelines/compression/layer-choices';
import { compressedBytes } from '../../pipelines/size-choices';
import type { OpenedModel } from '../../models/opened-model';
import type { LinearRole, EmbeddingOrHeadPlace } from '../../models/matrix-encoding';
import type { CompressionChoice, CompressionRequest } from '../../tensornet/compression-choice';

/** Compression and the layers it leaves unchanged. */
export interface ChooseLayersRequest {
  readonly model: string;
  readonly compression: CompressionRequest;
  /** Roles of layers that remain unchanged. */
  readonly skip: readonly LinearRole[];
  /** Matrices outside the sublayers that are compressed as well; none when absent. */
  readonly embeddingAndHead?: readonly EmbeddingOrHeadPlace[];
}

export interface ChosenLayers {
  readonly choices: readonly CompressionChoice[];
  /** Number of layers that this compression would not make smaller. */
  readonly unfit: number;
  /** Predicted bytes of the weights. */
  readonly bytes: number;
}

/** Returns the layers that a compression is for. */
export function chooseLayers(
  opened: OpenedModel,
  { compression, ...selection }: Omit<ChooseLayersRequest, 'model'>,
): ChosenLayers {
  const { choices, unfit } = chooseForAll(opened.model, compression, selection);
  const bytes = compressedBytes(opened, choices, opened.summary.bytes);
  return { choices, unfit: unfit.length, bytes };
}
