import { join } from 'node:path';
import packageJson from '../../package.json';
import { scoreDataset } from '../core/datadiet/score-dataset';
import { scoreText } from '../core/datadiet/score-text';
import { writeScoreDocument } from '../core/datadiet/score-document';
import type { ScoreDocument } from '../core/datadiet/score-document';
import { evaluateModels } from '../core/evaluate/evaluate-models';
import { applyPlan } from '../core/export/apply-plan';
import { listForms } from '../core/export/prune-source';
import { runInChild } from '../core/jobs/child-task';
import { openModel } from '../core/models/open-model';
import { journalBeside, profileModel } from '../core/prune/profile-model';
import { listDevices } from '../core/runtime/devices';
import type { WorkerRequests } from '../protocol/worker';
import type { Handlers } from './serve';

/** Texts that come with the extension, beside the folder of the bundles. */
const samples = join(import.meta.dirname, '..', 'samples');
const calibrationText = join(samples, 'calibration.txt');
const heldOutText = join(samples, 'held-out.txt');

/** What trains seeds side by side. */
const trainer = join(import.meta.dirname, 'trainer.js');

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
  scoreText: async (request, context) => {
    const { scores } = await scoreText(
      request,
      { bundledText: calibrationText, version: packageJson.version },
      context,
    );
    const mean = scores.reduce((sum, score) => sum + score, 0) / scores.length;
    return { windows: scores.length, mean };
  },
  scoreData: async ({ out, ...request }, context) => {
    const write = async (document: ScoreDocument): Promise<void> =>
      writeScoreDocument(out, document);
    const job = { ...request, folder: `${out}.runs`, write };
    const document = await scoreDataset(job, context, {
      run: async (task, job) => runInChild({ script: trainer }, task, job),
    });
    const { examples, scoring, labelIssues } = document;
    const suspected = labelIssues.filter((issue) => issue === 1).length;
    return { examples, suspected, seconds: scoring?.seconds ?? 0 };
  },
};
