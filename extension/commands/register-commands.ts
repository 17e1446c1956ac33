import { commands, Disposable } from 'vscode';
import { commandIds } from '../services/command-ids';
import type { CommandName } from '../services/command-ids';
import { reportError } from '../services/report-error';
import type { Services } from '../services/services';
import { compareModels } from './compare-models';
import { compareSubsets } from './compare-subsets';
import { compressModel } from './compress-model';
import { exportSubset } from './export-subset';
import { evaluateModel } from './evaluate-model';
import { repairModel } from './repair-model';
import { inspectModel } from './inspect-model';
import { isSeen } from './job-notices';
import {
  cancelJob,
  clearJobs,
  copyJobCommandLine,
  openJobResult,
  removeJob,
  runJobAgain,
  showJob,
  showLogOfJob,
} from './job-commands';
import { openCompression } from './open-compression';
import { openDataMap } from './open-data-map';
import { copyName, showInExplorer } from './model-row-commands';
import { openHeatmap } from './open-heatmap';
import { patchLayer } from './patch-layer';
import { planCompression } from './plan-compression';
import { profileLayers } from './profile-layers';
import { profileSensitivity } from './profile-sensitivity';
import { pruneLayers } from './prune-layers';
import { discardJob, resumeJob } from './resume-job';
import { saveCompressionPlan } from './save-compression-plan';
import { savePlan } from './save-plan';
import { scoreData } from './score-data';
import { scoreText } from './score-text';
import { showDevices } from './show-devices';
import { synthesizeModules } from './synthesize-modules';

/** Takes the services, the argument of the menu or link, and answers given beforehand. */
type Handler = (services: Services, argument: unknown, options?: object) => unknown;

/** One entry per command: leaving one out is a type error. */
const handlers: Readonly<Record<CommandName, Handler>> = {
  inspectModel,
  compareModels,
  profileLayers,
  openHeatmap,
  pruneLayers,
  evaluateModel,
  showDevices,
  savePlan,
  cancelJob,
  showJob,
  showLog: (services) => {
    services.log.show();
  },
  profileSensitivity,
  openCompression,
  planCompression,
  saveCompressionPlan,
  compressModel,
  repairModel,
  patchLayer,
  resumeJob,
  discardJob,
  openJobResult,
  runJobAgain,
  copyJobCommandLine,
  showJobLog: showLogOfJob,
  removeJob,
  clearJobs,
  scoreData,
  scoreText,
  openDataMap,
  exportSubset,
  compareSubsets,
  synthesizeModules,
  showInExplorer,
  copyName,
  refreshModels: (services) => services.folders.refresh(),
};

/**
 * Registers every command, whatever the circumstances: one that cannot run says why. Explorer menus
 * give the clicked resources as a second argument, which is no option of ours.
 */
export function registerCommands(services: Services): Disposable {
  return Disposable.from(
    ...(Object.keys(handlers) as CommandName[]).map((name) =>
      commands.registerCommand(
        commandIds[name],
        async (argument?: unknown, second?: unknown): Promise<unknown> => {
          const options =
            typeof second === 'object' && second !== null && !Array.isArray(second) ? second : {};
          try {
            return await handlers[name](services, argument, options);
          } catch (error) {
            const job = services.jobs.failed(error);
            const failed = job && { job, isSeen: isSeen(services, job) };
            void reportError(error, services.log, failed);
            return undefined;
          }
        },
      ),
    ),
  );
}
