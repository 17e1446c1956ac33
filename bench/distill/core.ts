// Functions of the core that run.mjs needs. run.mjs bundles this file.
import { unattended } from '../../extension/core/jobs/job';
import type { JobContext } from '../../extension/core/jobs/job';
import { inEnglish } from '../../extension/core/message';
import { openModelFiles } from '../../extension/core/models/open-model';
import { writeModel } from '../../extension/core/pipelines/write-model';
import type { WriteRequest } from '../../extension/core/pipelines/write-model';

type Options = Pick<WriteRequest, 'out' | 'types' | 'feedback'>;

/** Writes a model as a GGUF file; a variant's settings of distillation are those of `feedback`. */
export async function write(path: string, options: Options): Promise<void> {
  const model = await openModelFiles(path);
  const limits = { device: 'cpu', memoryBytes: 2 ** 33 } as const;
  let last = '';
  const progress: JobContext['progress'] = ({ stage, done = 0, total = 0 }) => {
    const text = inEnglish(stage);
    if (text !== last && !text.startsWith('Rounding') && process.env['VERBOSE'] !== undefined) {
      console.error(`${text} ${done}/${total}`);
    }
    last = text;
  };
  await writeModel(
    { model, removed: [], format: 'gguf', overwrite: true, ...limits, ...options },
    { ...unattended, progress },
  );
}
