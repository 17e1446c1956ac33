import type { OpenModel } from '../../models/model-cache';
import { openModelFiles } from '../../models/open-model';
import { describeModel } from '../describe-model';
import { openGraph } from '../onnx-source';
import { allTensors } from '../tensor-table';
import type { Flow, UnknownFlow } from './flow-document';
import { modelFlow } from './model-flow';
import { onnxFlow } from './onnx-flow';
import { say } from '../../message';

/**
 * Data flow of a model, from its architecture or its graph, never guessed from names. If it is
 * unknown, the result contains the reason.
 * @throws UserError when a file is missing or damaged.
 */
export async function describeFlow(
  path: string,
  open: OpenModel = openModelFiles,
): Promise<Flow | UnknownFlow> {
  const description = await describeModel(path, open);
  const { format, understood, files, warnings } = description;
  if (format === 'onnx') {
    const graph = await openGraph(files[0]?.path ?? path, open);
    return (
      onnxFlow(graph) ?? {
        reason: warnings[0] ?? say`The graph has no residual stream to group it by.`,
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
