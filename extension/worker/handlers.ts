import { join } from 'node:path';
import packageJson from '../../package.json';
import { evaluateModels } from '../core/evaluate/evaluate-models';
import { applyPlan } from '../core/export/apply-plan';
import { listForms } from '../core/export/prune-source';
import { openModel } from '../core/models/open-model';
import { journalBeside, profileModel } from '../core/prune/profile-model';
import { listDevices } from '../core/runtime/devices';
import type { WorkerRequests } from '../protocol/worker';
import type { Handlers } from './serve';

/** Texts that come with the extension, beside the folder of the bundles. */
const samples = join(import.meta.dirname, '..', 'samples');
const calibrationText = join(samples, 'calibration.txt');
const heldOutText = join(samples, 'held-out.txt');

/** What answers each request: a call of the core. */
export const handlers: Handlers<WorkerRequests> = {
  inspect: async ({ model }) => (await openModel(model)).summary,
  devices: async () => listDevices(),
  forms: async ({ model, remove }) => listForms(model, remove),
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
