import { join } from 'node:path';
import packageJson from '../../package.json';
import { runDiet } from '../core/datadiet/diet-experiment';
import { scoreDataset } from '../core/datadiet/score-dataset';
import type { SeedTask } from '../core/datadiet/seed-tasks';
import { scoreText } from '../core/datadiet/score-text';
import { writeScoreDocument } from '../core/datadiet/score-document';
import type { ScoreDocument } from '../core/datadiet/score-document';
import { evaluateModels } from '../core/evaluate/evaluate-models';
import { applyPlan } from '../core/export/apply-plan';
import { usualCalibration } from '../core/export/compression/compress-model';
import { listForms } from '../core/export/prune-source';
import { runInChild } from '../core/jobs/child-task';
import type { TaskJob } from '../core/jobs/child-task';
import { writeDocument } from '../core/jobs/write-document';
import { openModel } from '../core/models/open-model';
import { journalBeside, profileModel } from '../core/prune/profile-model';
import { listDevices } from '../core/runtime/devices';
import { synthesize } from '../core/symbolic/evolution/synthesize';
import type { WorkerRequests } from '../protocol/worker';
import type { Handlers } from './serve';

/** Texts that come with the extension, beside the folder of the bundles. */
const samples = join(import.meta.dirname, '..', 'samples');
const calibrationText = join(samples, 'calibration.txt');
const heldOutText = join(samples, 'held-out.txt');

/** What trains seeds side by side. */
const script = join(import.meta.dirname, 'trainer.js');
const processes = {
  run: async (task: SeedTask, job: TaskJob): Promise<unknown> => runInChild({ script }, task, job),
};

/** What answers each request: a call of the core. */
export const handlers: Handlers<WorkerRequests> = {
  inspect: async ({ model }) => (await openModel(model)).summary,
  devices: async () => listDevices(),
  forms: async ({ model, remove, compress }) => listForms(model, remove, compress),
  profile: async (request, context) =>
    profileModel(
      { ...request, journal: journalBeside(request.out) },
      { bundledText: calibrationText, version: packageJson.version },
      context,
    ),
  prune: async ({ calibration: asked, ...request }, context) => {
    const usual = usualCalibration(await openModel(request.model), calibrationText);
    const calibration =
      asked === undefined ? usual : { request: asked, bundledText: calibrationText };
    const compression = calibration === undefined ? {} : { calibration };
    return applyPlan({ ...request, compression }, context);
  },
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
    const document = await scoreDataset(job, context, processes);
    const { examples, scoring, labelIssues } = document;
    const suspected = labelIssues.filter((issue) => issue === 1).length;
    return { examples, suspected, seconds: scoring?.seconds ?? 0 };
  },
  compareSubsets: async ({ out, ...request }, context) => {
    const result = await runDiet({ ...request, folder: `${out}.runs` }, context, processes);
    await writeDocument(out, result);
    return { choices: result.rows.length };
  },
  synthesize: async (request, context) =>
    synthesize({ ...request, version: packageJson.version }, context),
};
