import { join } from 'node:path';
import packageJson from '../../package.json';
import { evaluateModels } from '../core/evaluate/evaluate-models';
import { applyPlan } from '../core/export/apply-plan';
import type { JobContext } from '../core/jobs/job';
import { openModel } from '../core/models/open-model';
import type { ProfileEvent } from '../core/prune/layer-profile';
import { journalBeside, profileModel } from '../core/prune/profile-model';
import { listDevices } from '../core/runtime/devices';
import type { WorkerMethod, WorkerRequests } from '../protocol/worker';

type Handlers = {
  [M in WorkerMethod]: (
    request: WorkerRequests[M][0],
    context: JobContext<ProfileEvent>,
  ) => Promise<WorkerRequests[M][1]>;
};

/** Texts that come with the extension, beside the folder of the bundles. */
const samples = join(import.meta.dirname, '..', 'samples');
const calibrationText = join(samples, 'calibration.txt');
const heldOutText = join(samples, 'held-out.txt');

/** What answers each request: a call of the core. */
export const handlers: Handlers = {
  inspect: async ({ model }) => (await openModel(model)).summary,
  devices: async () => listDevices(),
  profile: async (request, context) =>
    profileModel(
      { ...request, journal: journalBeside(request.out) },
      { bundledText: calibrationText, version: packageJson.version },
      context,
    ),
  prune: async (request, context) => applyPlan(request, context),
  evaluate: async (request, context) =>
    evaluateModels({ ...request, text: request.text ?? heldOutText }, context),
};
