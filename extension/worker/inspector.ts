import { compareModels } from '../core/inspect/compare-models';
import { describeModel } from '../core/inspect/describe-model';
import type { Diagrams } from '../core/inspect/flow/diagrams';
import { tensorStatistics } from '../core/inspect/tensor-statistics';
import type { InspectorRequests } from '../protocol/worker';
import { serve } from './serve';

/** A progress told more often than this is not seen. */
const progressMilliseconds = 100;

/** Loaded when the first flow is drawn: opening a model does not wait for it. */
let diagrams: Promise<Diagrams> | undefined;

/**
 * A process of its own, so that looking at a model does not wait for the worker's job. It never loads
 * ONNX Runtime.
 */
serve<InspectorRequests>({
  describe: async ({ model }) => describeModel(model),
  statistics: async ({ tensor }, context) => {
    let told = 0;
    return tensorStatistics(tensor, context.cancellation, (done, total) => {
      const now = performance.now();
      if (now - told >= progressMilliseconds) {
        told = now;
        context.progress({ stage: tensor.name, done, total, unit: 'bytes' });
      }
    });
  },
  diagram: async ({ model, open }) => {
    diagrams ??= import('../core/inspect/flow/diagrams').then((flow) => new flow.Diagrams());
    return (await diagrams).draw(model, new Set(open));
  },
  compare: async (request, context) =>
    compareModels(request, { ...context, emit: () => undefined }),
});
