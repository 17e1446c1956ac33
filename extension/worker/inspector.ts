import { compareRelated } from '../core/operations/compare-related';
import { commonBlocks } from '../core/pipelines/source-blocks';
import { describeModel } from '../core/inspect/describe-model';
import { describeNarrowed } from '../core/models/narrow/describe-narrowed';
import type { OpenedModel } from '../core/models/opened-model';
import type { Diagrams } from '../core/inspect/flow/diagrams';
import { tensorStatistics } from '../core/inspect/tensor-statistics';
import type { InspectorRequests } from '../protocol/worker';
import type * as Documents from './documents';
import type * as Questions from './questions';
import { ModelCache } from '../core/models/model-cache';
import { translateBy } from './catalogue';
import { serve } from './serve';
import { verbatim } from '../core/message';

/** A progress told more often than this is not seen. */
const progressMilliseconds = 100;

/** Models looked at last. */
const models = new ModelCache({ capacity: 8 });
const open = async (path: string): Promise<OpenedModel> => models.open(path);

/** Loaded when the first flow is drawn: opening a model does not wait for it. */
let diagrams: Promise<Diagrams> | undefined;

/** Loaded when first asked: methods of compression and formats of files bring ONNX Runtime along, which is never run here. */
const questions = async (): Promise<typeof Questions> => import('./questions');

/** Loaded when the first document is shown. */
const documents = async (): Promise<typeof Documents> => import('./documents');

/**
 * A process of its own, so that looking at a model or a document neither waits for the worker's job nor holds up the
 * editor. It runs no model.
 */
serve<InspectorRequests>({
  document: async (request) => (await documents()).document(request),
  keepEvaluations: async (request) => (await documents()).keepEvaluations(request),
  viewEvolution: async (state) => (await documents()).viewEvolution(state),
  exportStructure: async (request) =>
    (await import('./export-structure')).exportStructure(request, open),
  describe: async ({ model }) => describeModel(model, open),
  statistics: async ({ tensor }, context) => {
    let told = 0;
    return tensorStatistics(tensor, context.cancellation, (done, total) => {
      const now = performance.now();
      if (now - told >= progressMilliseconds) {
        told = now;
        context.progress({ stage: verbatim(tensor.name), done, total, unit: 'bytes' });
      }
    });
  },
  diagram: async ({ model, open: unfolded, catalogue, ...options }) => {
    const { against } = options;
    const translate = await translateBy(catalogue);
    const numbers = against === undefined ? {} : await commonBlocks(model, against, open);
    diagrams ??= import('../core/inspect/flow/diagrams').then((flow) => new flow.Diagrams(open));
    return (await diagrams).draw(model, new Set(unfolded), { ...options, numbers, translate });
  },
  compare: async (request, context) =>
    compareRelated(request, { ...context, emit: () => undefined }, open),
  open: async ({ model }) => {
    const { summary, capabilities } = await open(model);
    return { summary, capabilities };
  },
  narrowed: async ({ model, ...changes }) => describeNarrowed(await open(model), changes),
  outputs: async ({ model, ...changes }) =>
    (await questions()).listOutputs(await open(model), changes),
  canTypeLayers: async ({ model }) => (await questions()).canTypeLayers(await open(model)),
  chooseLayers: async ({ model, ...request }) =>
    (await questions()).chooseLayers(await open(model), request),
  checkPlan: async (request) => (await questions()).checkPlan(request, open),
  front: async (request) => (await questions()).frontOf(request),
  predictPlan: async (request) => (await questions()).predictPlan(request),
  estimate: async (request) => (await import('./estimate')).estimate(request, open),
});
