import { join } from 'node:path';
import packageJson from '../../package.json';
import type { SeedTask } from '../core/datadiet/training/seed-task';
import { runInChild } from '../core/jobs/child-task';
import type { TaskJob } from '../core/jobs/child-task';
import { ModelCache } from '../core/models/model-cache';
import type { OpenedModel } from '../core/models/opened-model';
import { costsFolder } from '../core/runtime/user-cache';
import type { Environment } from '../core/operations/operation';

/** Texts that come with the extension, beside the folder of the bundles. */
const samples = join(import.meta.dirname, '..', 'samples');

/** What trains seeds side by side. */
const script = join(import.meta.dirname, 'trainer.js');
const processes = {
  run: async (task: SeedTask, job: TaskJob): Promise<unknown> => runInChild({ script }, task, job),
};

/** Models of the last jobs: the next one on the same files reads none again. */
const models = new ModelCache({ capacity: 4 });

/** What operations get in a child process. */
export const environment: Environment = {
  samples,
  version: packageJson.version,
  costsFolder: costsFolder(),
  processes,
  bundles: import.meta.dirname,
  open: async (path: string): Promise<OpenedModel> => models.open(path),
};
