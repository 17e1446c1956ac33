import { join } from 'node:path';
import { checkpoint } from '../../jobs/job';
import type { Cancellation } from '../../jobs/job';
import { storeEncodings } from '../../models/encodings/store-encodings';
import type { LayeredModel } from '../../models/layered-model';
import type { EmbeddingOrHead } from '../../models/matrix-encoding';
import { LayeredExecutor } from '../../runtime/layered-executor';
import { compressWithEach } from '../compress-matrix';
import type { CompressedMatrix } from '../compress-matrix';
import type { Compression } from '../compression-choice';
import type { CompressionContext } from '../compression-context';
import { tiedIds } from '../embedding-and-head-choice';
import type { ChangeScorer } from './change-scorer';
import { entryType } from './gguf-facts';
import type { Timing } from './timing';
import type { SensitivityEntry } from './sensitivity-profile';

/** Setup for measuring embedding and head. */
interface EmbeddingOrHeadSetup {
  readonly model: LayeredModel;
  /** Started scorer of the model. */
  readonly scorer: ChangeScorer;
  /** Context without statistics: these matrices are quantized without calibration. */
  readonly compression: Omit<CompressionContext, 'statistics'>;
  readonly timing: Timing;
  readonly device: LayeredExecutor['device'];
  readonly memoryBytes: number;
  readonly threads: number | undefined;
  /** Existing folder. */
  readonly folder: string;
  readonly cancellation: Cancellation;
}

/** Measures an embedding or a head with each compression: a head alone, an embedding through the whole model. */
export async function measureEmbeddingOrHead(
  setup: EmbeddingOrHeadSetup,
  matrix: EmbeddingOrHead,
  compressions: readonly Compression[],
): Promise<SensitivityEntry[]> {
  const { model, scorer, device, memoryBytes, threads, folder } = setup;
  const forms: CompressedMatrix[] = [];
  for await (const compressed of compressWithEach(setup.compression, matrix, compressions)) {
    forms.push(compressed);
    await checkpoint(setup.cancellation);
  }
  const entries: SensitivityEntry[] = [];
  for (const [i, compression] of compressions.entries()) {
    const { encoding, error, parameters, bytes } = forms[i] ?? lost();
    const path = join(folder, `${matrix.place}.${i}.safetensors`);
    const stored = await storeEncodings(path, new Map(tiedIds(matrix).map((id) => [id, encoding])));
    const other = new LayeredExecutor(model.withMatrices(stored), device, memoryBytes, { threads });
    try {
      const distance = await scorer.distanceWithHead(other, {
        reembeds: matrix.place === 'embedding',
      });
      const costs = { error, parameters, bytes, ...setup.timing(matrix, encoding) };
      entries.push({ ...compression, distance, ...costs, ...entryType(compression) });
    } finally {
      await other.dispose();
    }
  }
  return entries;
}

function lost(): never {
  throw new Error('the matrix takes no other encoding');
}
