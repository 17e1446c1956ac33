import type { OpenModel } from '../../models/model-cache';
import { openModelFiles } from '../../models/open-model';
import { describeModel } from '../describe-model';
import { graphOf } from '../onnx-source';
import { allTensors } from '../tensor-table';
import type { Flow, UnknownFlow } from './flow-document';
import { modelFlow } from './model-flow';
import { onnxFlow } from './onnx-flow';
import { say } from '../../message';

/**
 * How values flow through a model, as its architecture or its graph tells. It is never read from
 * names: where nothing tells it, the reason is given.
 * @throws UserError when a file is missing or damaged.
 */
export async function describeFlow(
  path: string,
  open: OpenModel = openModelFiles,
): Promise<Flow | UnknownFlow> {
  const description = await describeModel(path, open);
  const { format, understood, files, warnings } = description;
  if (format === 'onnx') {
    const graph = await graphOf(files[0]?.path ?? path, open);
    return (
      onnxFlow(graph) ?? {
        reason: warnings[0] ?? say`The graph has no residual stream to fold it by.`,
      }
    );
  }
  if (understood.by !== 'architecture') {
    return {
      reason: understood.reason ?? say`There is no config.json that names the architecture.`,
    };
  }
  const { model } = await open(description.path);
  const tensors = allTensors(description).map(({ tensor }) => tensor);
  return model.kind === 'graph'
    ? { reason: say`The data flow of ${description.family ?? 'this'} models is not supported.` }
    : modelFlow(model, tensors);
}
