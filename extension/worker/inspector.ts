import { compareModels } from '../core/inspect/compare-models';
import { describeModel } from '../core/inspect/describe-model';
import { Diagrams } from '../core/inspect/flow/diagrams';
import { tensorStatistics } from '../core/inspect/tensor-statistics';
import type { InspectorRequests } from '../protocol/worker';
import { serve } from './serve';

/** A progress told more often than this is not seen. */
const progressMilliseconds = 100;

const diagrams = new Diagrams();

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
  diagram: async ({ model, open }) => diagrams.draw(model, new Set(open)),
  compare: async (request, context) =>
    compareModels(request, { ...context, emit: () => undefined }),
});
