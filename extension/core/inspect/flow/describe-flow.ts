import { EncoderModel } from '../../models/encoders/encoder-model';
import { openOnnxModel } from '../../models/onnx/onnx-model';
import { openModel } from '../../models/open-model';
import { TransformerModel } from '../../models/transformer-model';
import { describeModel } from '../describe-model';
import { allTensors } from '../tensor-table';
import type { Flow, UnknownFlow } from './flow-document';
import { encoderFlow, transformerFlow } from './layout-flow';
import { onnxFlow } from './onnx-flow';

/**
 * How values flow through a model, as its architecture or its graph tells. It is never read from
 * names: where nothing tells it, the reason is given.
 * @throws UserError when a file is missing or damaged.
 */
export async function describeFlow(path: string): Promise<Flow | UnknownFlow> {
  const description = await describeModel(path);
  const { format, understood, files, warnings } = description;
  if (format === 'onnx') {
    const graph = await openOnnxModel(files[0]?.path ?? path);
    return (
      onnxFlow(graph) ?? {
        reason: warnings[0] ?? 'The graph has no residual stream to fold it by.',
      }
    );
  }
  if (understood.by !== 'architecture') {
    return { reason: understood.reason ?? 'There is no config.json that names the architecture.' };
  }
  const model = await openModel(description.path);
  const tensors = allTensors(description).map(({ tensor }) => tensor);
  if (model instanceof TransformerModel) {
    return transformerFlow(model, tensors);
  }
  return model instanceof EncoderModel
    ? encoderFlow(model, tensors)
    : { reason: `The flow of ${description.family ?? 'this'} models is not known.` };
}
