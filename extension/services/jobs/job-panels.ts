import type { Evaluation } from '../../core/evaluate/evaluation';
import { evolutionSettings } from '../../core/operations/synthesize';
import type { SynthesisRequest } from '../../core/operations/synthesize';
import type { LayerProfile, ProfileEvent } from '../../core/prune/layer-profile';
import type { EvolutionEvent } from '../../core/symbolic/evolution/evolve';
import type { GssnnDocument } from '../../core/symbolic/evolution/gssnn-document';
import type {
  SensitivityEvent,
  SensitivityProfile,
} from '../../core/tensornet/sensitivity/sensitivity-profile';
import type { Compressions, Heatmaps, JobPanel, JobPanels, Syntheses } from '../services';
import type { CompressionSessions } from '../sessions/compression-sessions';
import type { DataMaps } from '../sessions/data-maps';
import type { ModelSessions } from '../sessions/model-sessions';
import { logPath } from '../sessions/synthesis-sessions';
import type { SynthesisSessions } from '../sessions/synthesis-sessions';
import type { JobService } from './job-service';
import { getOperation, operations } from './operations';
import { jobDocument, makesDocument } from './panel-job';

/** Sessions and panels of this window. */
export interface PanelHost {
  readonly sessions: ModelSessions;
  readonly heatmaps: Heatmaps;
  readonly compressionSessions: CompressionSessions;
  readonly compressions: Compressions;
  readonly synthesisSessions: SynthesisSessions;
  readonly syntheses: Syntheses;
  readonly dataMaps: DataMaps;
}

/** The panels of this window, by the names that operations declare. */
export function jobPanels(host: PanelHost): JobPanels {
  return {
    heatmap: heatmapPanel(host),
    compression: compressionPanel(host),
    dataMap: {
      open: async (_, document = '') => {
        await host.dataMaps.show({ scores: document });
      },
      isShown: (_, document) => document !== undefined && host.dataMaps.shows(document),
      done: async (_, { document: scores }) => {
        await host.dataMaps.reload(scores);
        await host.dataMaps.show({ scores });
      },
    },
    symbolic: symbolicPanel(host),
  };
}

function heatmapPanel({ sessions, heatmaps }: PanelHost): JobPanel {
  const { find, ...shown } = modelPanel(sessions, heatmaps, ({ profilePath }) => profilePath);
  return {
    ...shown,
    begin: async ({ model, document, resumed }) => {
      (await sessions.open(model, document)).searchStarted(resumed);
    },
    event: (event, { model, document }) => find(model, document)?.applyEvent(event as ProfileEvent),
    done: (profile, { model, document }) =>
      find(model, document)?.loadProfile(profile as LayerProfile),
    original: (model): Evaluation | undefined => sessions.of(model)[0]?.originalEvaluation,
  };
}

function compressionPanel({ compressionSessions: sessions, compressions }: PanelHost): JobPanel {
  const { find, ...shown } = modelPanel(sessions, compressions, ({ file }) => file);
  return {
    ...shown,
    begin: async ({ model, document }) => {
      await sessions.open(model, document);
    },
    event: (event, { model, document }) =>
      find(model, document)?.applyEvent(event as SensitivityEvent),
    done: (table, { model, document }) => {
      const session = find(model, document);
      session?.setPlan(undefined);
      session?.setScores(undefined);
      session?.loadTable(table as SensitivityProfile);
    },
  };
}

/** Panels of a model, one for each of its documents. */
function modelPanel<S>(
  sessions: {
    open(model: string, document?: string): Promise<S>;
    of(model: string): readonly S[];
  },
  panels: { show(session: S): void; isShown(session: S): boolean },
  documentPath: (session: S) => string,
): Pick<JobPanel, 'open' | 'isShown'> & {
  readonly find: (model: string, document: string) => S | undefined;
} {
  return {
    find: (model, document) => sessions.of(model).find((one) => documentPath(one) === document),
    open: async (model, document) => {
      panels.show(await sessions.open(model, document));
    },
    isShown: (model, document) =>
      sessions
        .of(model)
        .some(
          (one) => panels.isShown(one) && (document ?? documentPath(one)) === documentPath(one),
        ),
  };
}

function symbolicPanel({ synthesisSessions, syntheses }: PanelHost): JobPanel {
  const session = (out: string) => synthesisSessions.get(logPath(out));
  return {
    open: async (_, out = '') => {
      syntheses.show(session(out));
      return Promise.resolve();
    },
    isShown: (_, out = '') => syntheses.isShown(session(out)),
    begin: ({ document, request }) => {
      session(document).begin(evolutionSettings(request as SynthesisRequest));
    },
    event: (event, { document }) => {
      session(document).receive(event as EvolutionEvent);
    },
    done: (result, { document }) => {
      session(document).finish((result as { readonly document: GssnnDocument }).document);
    },
  };
}

/** Shows jobs in the panels that their operations declare, and the documents that they make. */
export function watchPanels(jobs: JobService, panels: JobPanels): void {
  for (const operation of operations) {
    const { panel: name } = getOperation(operation);
    if (name === undefined) {
      continue;
    }
    const panel = panels[name];
    jobs.follow(operation, {
      isShown: (job) => panel.isShown(job.model, jobDocument(job)),
      original: ({ model }) => panel.original?.(model),
      begin: async (job, resumed) => {
        const { model, request } = job;
        const document = jobDocument(job);
        if (document !== undefined && makesDocument(job)) {
          await panel.begin?.({ model, document, request, resumed });
        }
      },
      event: (event, job) => {
        const document = jobDocument(job);
        if (document !== undefined && makesDocument(job)) {
          panel.event?.(event, { model: job.model, document });
        }
      },
      done: async (result, job) => {
        const document = jobDocument(job);
        if (document !== undefined && makesDocument(job)) {
          await panel.done?.(result, { model: job.model, document });
        }
      },
    });
  }
}
