import type { CompressionSessions } from '../sessions/compression-sessions';
import type { DataMaps } from '../sessions/data-maps';
import type { ModelSessions } from '../sessions/model-sessions';
import { logPath } from '../sessions/synthesis-sessions';
import type { SynthesisSessions } from '../sessions/synthesis-sessions';
import type { Compressions, Heatmaps, JobPanels, Syntheses } from '../services';
import type { JobRecord } from './job-record';
import type { JobService } from './job-service';
import { getOperation, operations } from './operations';

/** The panels of this window, by the names that operations declare. */
export function jobPanels(host: {
  readonly sessions: ModelSessions;
  readonly heatmaps: Heatmaps;
  readonly compressionSessions: CompressionSessions;
  readonly compressions: Compressions;
  readonly synthesisSessions: SynthesisSessions;
  readonly syntheses: Syntheses;
  readonly dataMaps: DataMaps;
}): JobPanels {
  const { sessions, heatmaps, compressionSessions, compressions } = host;
  const { synthesisSessions, syntheses, dataMaps } = host;
  return {
    heatmap: {
      open: async (model, document) => {
        heatmaps.show(await sessions.open(model, document));
      },
      isShown: (model, document) =>
        sessions
          .of(model)
          .some(
            (one) => heatmaps.isShown(one) && (document ?? one.profilePath) === one.profilePath,
          ),
    },
    compression: {
      open: async (model, document) => {
        compressions.show(await compressionSessions.open(model, document));
      },
      isShown: (model, document) =>
        compressionSessions
          .of(model)
          .some((one) => compressions.isShown(one) && (document ?? one.file) === one.file),
    },
    dataMap: {
      open: async (_, document = '') => {
        await dataMaps.show({ scores: document });
      },
      isShown: (_, document) => document !== undefined && dataMaps.shows(document),
    },
    symbolic: {
      open: async (_, document = '') => {
        syntheses.show(synthesisSessions.get(logPath(document)));
        return Promise.resolve();
      },
      isShown: (_, document = '') => syntheses.isShown(synthesisSessions.get(logPath(document))),
    },
  };
}

/** Informs the job service which jobs a panel shows. */
export function watchPanels(jobs: JobService, panels: JobPanels): void {
  for (const operation of operations) {
    const { panel } = getOperation(operation);
    if (panel !== undefined) {
      jobs.follow(operation, {
        isShown: (job) => panels[panel].isShown(job.model, jobDocument(job)),
      });
    }
  }
}

/** Path of the document that the panel of a job shows; undefined for the one next to the model. */
export function jobDocument({ operation, request }: JobRecord): string | undefined {
  const { document } = getOperation(operation);
  const path: unknown = document === undefined ? undefined : Reflect.get(request, document);
  return typeof path === 'string' ? path : undefined;
}
