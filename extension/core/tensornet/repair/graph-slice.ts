import type { LayeredModel } from '../../models/layered-model';
import type { MatrixEncoding } from '../../models/matrix-encoding';
import type { Dimension } from '../../onnx/graph-builder';
import { floatsIn, floatTensor } from '../../runtime/tensors';
import type { HiddenState, Tensor } from '../../runtime/tensors';
import { flattened, relativeSquaredError } from '../../training/losses';
import { partModel } from '../../training/part-model';
import { differentiable, trainedTensors } from './trainable-encoding';
import type { GraphModel } from '../../training/graph-model';
import type { Loss } from '../../training/losses';

/**
 * Name of the residual stream after sublayer `index`. A part of a graph that continues beyond the stream, such as the
 * last one with the output, uses that output instead.
 */
export function streamAfter(model: LayeredModel, index: number): string {
  const { after } = model.sublayer(index).streamNames;
  const { next, part } = model.sublayer(index);
  const made = Object.entries(next).find(([, source]) => part.outputs.includes(source));
  return after in next ? after : (made?.[0] ?? after);
}

/** Rank of a residual stream of tokens: [batch, sequence, hidden]. */
const tokenRank = 3;

/** States before a sublayer, and targets of the residual stream after it: [1, sequence, hidden] each. */
export interface SliceData {
  readonly inputs: readonly HiddenState[];
  readonly targets: readonly Tensor[];
}

/** Training data, and held-out data for selecting the best values. */
export interface SlicePair {
  readonly train: SliceData;
  readonly heldOut: SliceData;
}

/** Sublayer as a separate model, with its loss and the data in the shape used for training. */
interface Slice {
  readonly model: GraphModel;
  readonly loss: Loss;
  readonly data: SlicePair;
}

/**
 * One sublayer of a graph as a model whose parameters are the tensors of its encodings. Streams without tokens, such as
 * feature maps, count as one row per example.
 * @throws UserError if the opset or type of the graph can't be trained
 */
export function graphSlice(
  model: LayeredModel,
  index: number,
  forms: ReadonlyMap<string, MatrixEncoding>,
  data: SlicePair,
): Slice {
  const changed = new Map([...forms].map(([id, form]) => [id, differentiable(form)] as const));
  const { part, mask, next } = model.withMatrices(changed).sublayer(index);
  const after = streamAfter(model, index);
  const states = [...data.train.inputs, ...data.heldOut.inputs];
  const targets = [...data.train.targets, ...data.heldOut.targets];
  const shape = commonShape('after', targets);
  const none = mask && floatTensor(new Float32Array(mask.count), [1, mask.count]);
  const trained = new Set([...forms.values()].flatMap(trainedTensors).map(({ name }) => name));
  const trainable = partModel(
    part,
    {
      trained,
      shapes: Object.fromEntries(
        part.inputs.map((name) => [
          name,
          commonShape(
            name,
            states.flatMap((state) => findValue(state, name)),
          ),
        ]),
      ),
      fixed: mask === undefined || none === undefined ? {} : { [mask.input]: none },
      output: { value: next[after] ?? after, shape },
    },
    model.summary.path,
  );
  const hasTokens = shape.length === tokenRank;
  return {
    model: trainable,
    loss: hasTokens ? relativeSquaredError : flattened(relativeSquaredError),
    data: hasTokens
      ? data
      : { train: flattenTargets(data.train), heldOut: flattenTargets(data.heldOut) },
  };
}

function findValue({ values, side }: HiddenState, name: string): Tensor[] {
  const tensor = values[name] ?? side[name];
  return tensor === undefined ? [] : [tensor];
}

/** Common shape of tensors of the same rank; sizes that differ are symbolic. */
function commonShape(name: string, [first, ...others]: readonly Tensor[]): Dimension[] {
  return (first?.dims ?? []).map((size, axis) =>
    others.every(({ dims }) => dims[axis] === size) ? size : `${name}/axis_${axis}`,
  );
}

function flattenTargets({ inputs, targets }: SliceData): SliceData {
  return {
    inputs,
    targets: targets.map((target) => floatTensor(floatsIn(target), [1, target.size])),
  };
}
