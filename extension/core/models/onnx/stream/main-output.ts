import { UserError } from '../../../user-error';
import type { ModelOutput } from '../../layered-model';
import type { GraphNode } from '../graph-index';
import type { OnnxModel } from './graph-stream';
import { removeBranches } from '../edits/removal-nodes';
import { say } from '../../../message';

/** The output that a graph is compared by. */
export interface MainOutput extends ModelOutput {
  /** Computed value. It excludes a final softmax, which distances apply themselves. */
  readonly value: string;
}

const scoreNames = /logits|scores|prob|class/i;
/** [batch, channels, height, width]: a map, not scores of classes. */
const mapRank = 4;

/** The output to compare models by: logits where there are any, else the first that the stream leads to. */
export function mainOutput({ index, branches, file, summary }: OnnxModel): MainOutput {
  const { droppedOutputs } = removeBranches(index, branches);
  const last = branches.at(-1);
  const behind = last === undefined ? undefined : index.descendants([last.end]);
  const outputs = file.graph.output.filter(({ name }) => {
    const producer = index.producers.get(name);
    const follows =
      behind === undefined ||
      name === last?.end ||
      (producer !== undefined && behind.has(producer));
    return follows && !droppedOutputs.has(name);
  });
  const chosen = outputs.find(({ name }) => name === 'logits') ?? outputs[0];
  if (chosen === undefined) {
    throw new UserError(
      'output-not-of-stream',
      say`No output of the graph depends on its residual stream.`,
      {
        file: file.path,
        remedy: say`Export the model again.`,
      },
    );
  }
  const { name } = chosen;
  const rank = summary.outputs.find((port) => port.name === name)?.shape?.length ?? 0;
  const producer = index.producers.get(name);
  const activation = producer && lastActivation(producer, rank, summary.opset);
  return {
    name,
    value: (activation && producer.inputs[0]) ?? name,
    givesProbabilities: producer !== undefined && /^(?:Hard)?Sigmoid$|^Softmax$/.test(producer.op),
    givesScores: activation !== undefined || (rank < mapRank && scoreNames.test(name)),
    ...(activation === undefined ? {} : { activation }),
  };
}

/** A softmax over the last axis. */
function lastActivation(
  { op, proto }: GraphNode,
  rank: number,
  opset: number,
): ModelOutput['activation'] {
  const attribute = proto.attribute.find(({ name }) => name === 'axis');
  const axis = attribute === undefined ? (opset < 13 ? 1 : -1) : Number(attribute.i);
  const isLast = axis === -1 || axis === rank - 1;
  return isLast && (op === 'Softmax' || op === 'LogSoftmax') ? op : undefined;
}
