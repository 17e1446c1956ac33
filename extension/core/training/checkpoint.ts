import { open } from 'node:fs/promises';
import * as v from 'valibot';
import { openSafetensors, encodeHeader } from '../checkpoints/safetensors';
import { withRegularFile } from '../regular-file';
import { floatsIn, floatTensor } from '../runtime/tensors';
import type { Tensor, Tensors } from '../runtime/tensors';
import { replaceFile } from '../jobs/write-document';
import { UserError } from '../user-error';
import { say } from '../message';
import { parseJsonText } from '../parse-json';
import { create } from '@bufbuild/protobuf';
import { DataType, GraphBuilder } from '../onnx/graph-builder';
import { TensorProtoSchema } from '../onnx/proto/onnx_pb';
import type { BuiltModel } from './built-model';

/** Key of the file's metadata. */
const metadataKey = 'espalier.training';

const count = v.pipe(v.number(), v.integer(), v.minValue(0));
const progressSchema = v.object({
  /** Number of updates. */
  step: count,
  /** Batches accumulated since the last update. */
  batches: count,
  plateau: v.object({
    best: v.nullable(v.number()),
    bad: count,
    cooling: count,
    factor: v.number(),
  }),
});
/** Progress of a training run. */
export type Progress = v.InferOutput<typeof progressSchema>;

/**
 * Writes tensors and progress atomically to one safetensors file.
 * @throws UserError if the folder isn't writable
 */
export async function writeCheckpoint(
  path: string,
  tensors: Tensors,
  progress: Progress,
): Promise<void> {
  const entries = Object.entries(tensors);
  const header = encodeHeader(
    entries.map(([name, { dims, size }]) => ({
      name,
      tensor: { dtype: 'F32', shape: dims, length: size * Float32Array.BYTES_PER_ELEMENT },
    })),
    { format: 'pt', [metadataKey]: JSON.stringify(progress) },
  );
  try {
    await replaceFile(path, async (partial) => {
      const handle = await open(partial, 'w');
      try {
        await handle.writeFile(header);
        for (const [, tensor] of entries) {
          const numbers = floatsIn(tensor);
          await handle.writeFile(
            new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength),
          );
        }
        await handle.sync();
      } finally {
        await handle.close();
      }
    });
  } catch (error) {
    throw new UserError(
      'checkpoint-not-writable',
      say`The checkpoint cannot be written: ${(error as Error).message}.`,
      {
        file: path,
        remedy: say`Choose a folder that can be written to, with space left.`,
      },
    );
  }
}

/**
 * Reads a checkpoint and checks the shapes of its tensors.
 * @throws UserError that names a tensor that is missing or has another shape
 */
export async function readCheckpoint(
  path: string,
  shapes: ReadonlyMap<string, readonly number[]>,
): Promise<{ tensors: Tensors; progress: Progress }> {
  const { tensors: stored, metadata } = await openSafetensors(path);
  const progress = parseProgress(metadata[metadataKey], path);
  const tensors: Record<string, Tensor> = {};
  await withRegularFile(path, async ({ handle }) => {
    for (const [name, shape] of shapes) {
      const tensor = stored.get(name);
      if (tensor?.dtype !== 'F32' || tensor.shape.join() !== shape.join()) {
        throw new UserError(
          tensor === undefined ? 'tensor-missing' : 'tensor-mismatch',
          tensor === undefined
            ? say`The file lacks this tensor.`
            : say`It is ${tensor.dtype} [${tensor.shape.join(', ')}], expected F32 [${shape.join(', ')}].`,
          {
            file: path,
            field: name,
            remedy: say`Resume with the model and optimizer of that run.`,
          },
        );
      }
      const numbers = new Float32Array(tensor.length / Float32Array.BYTES_PER_ELEMENT);
      await handle.read(new Uint8Array(numbers.buffer), 0, tensor.length, tensor.offset);
      tensors[name] = floatTensor(numbers, shape);
    }
  });
  return { tensors, progress };
}

/** Number of updates in a checkpoint; 0 if it doesn't exist or isn't readable. */
export async function readCheckpointStep(path: string): Promise<number> {
  try {
    const { metadata } = await openSafetensors(path);
    return parseProgress(metadata[metadataKey], path).step;
  } catch {
    return 0;
  }
}

function parseProgress(text: string | undefined, path: string): Progress {
  const fault = (): UserError =>
    new UserError('checkpoint-invalid', say`The file is not a checkpoint of a training run.`, {
      file: path,
      field: metadataKey,
      remedy: say`Choose a file that a training run of Espalier has saved.`,
    });
  if (text === undefined) {
    throw fault();
  }
  try {
    return v.parse(progressSchema, parseJsonText(text));
  } catch {
    throw fault();
  }
}

/** Output name of an exported model. */
export const exportedOutput = 'output';

/**
 * Exports a trained model as an ONNX file in evaluation mode; parameters become initializers.
 * @param weights parameters and buffers by name
 */
export function exportModel(
  model: BuiltModel,
  weights: Tensors,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array {
  const { graph, output } = model.forward('evaluate');
  graph.output(exportedOutput, output.value, DataType.FLOAT, output.shape);
  const { node, input, output: outputs, initializer } = graph.graph;
  const own = new Set(model.inputs);
  const constants = [...model.parameters, ...model.buffers].map(({ name, shape }) => {
    const tensor = weights[name];
    if (tensor === undefined) {
      throw new Error(`the weights have no tensor named ${name}`);
    }
    const { buffer, byteOffset, byteLength } = floatsIn(tensor);
    const rawData = new Uint8Array(buffer, byteOffset, byteLength);
    const dims = shape.map(BigInt);
    return create(TensorProtoSchema, { name, dataType: DataType.FLOAT, dims, rawData });
  });
  const exported = GraphBuilder.over('model', {
    nodes: node,
    inputs: input.filter(({ name }) => own.has(name)),
    outputs,
    constants: [...initializer, ...constants],
    weights: [],
    opsets: graph.opsetImports,
  });
  return exported.toBytes(() => {
    throw new Error('all weights are in the file');
  }, metadata);
}
