import { join } from 'node:path';
import packageJson from '../../package.json';
import { ModelCache } from '../core/models/model-cache';
import type { OpenedModel } from '../core/models/opened-model';
import { costsFolder } from '../core/jobs/user-cache';
import type { Environment } from '../core/operations/operation';

/** Texts bundled with the extension, next to the folder of the bundles. */
const samples = join(import.meta.dirname, '..', 'samples');

/** Models of recent jobs, so that the next job on the same files doesn't read them again. */
const models = new ModelCache({ capacity: 4 });

/** Environment of operations in a child process. */
export const environment: Environment = {
  samples,
  version: packageJson.version,
  costsFolder: costsFolder(),
  bundles: import.meta.dirname,
  open: async (path: string): Promise<OpenedModel> => models.open(path),
};
