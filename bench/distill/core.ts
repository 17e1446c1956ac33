// Functions of the core that run.mjs needs. run.mjs bundles this file.
import { unattended } from '../../extension/core/jobs/job';
import { openModelFiles } from '../../extension/core/models/open-model';
import { writeModel } from '../../extension/core/pipelines/write-model';
import type { WriteRequest } from '../../extension/core/pipelines/write-model';

/** Writes a model as a GGUF file. */
export async function write(
  path: string,
  options: Pick<WriteRequest, 'out' | 'types' | 'feedback'>,
): Promise<void> {
  const model = await openModelFiles(path);
  const limits = { device: 'cpu', memoryBytes: 2 ** 33 } as const;
  await writeModel(
    { model, removed: [], format: 'gguf', overwrite: true, ...limits, ...options },
    unattended,
  );
}
