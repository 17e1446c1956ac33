import { basename, join } from 'node:path';
import type { GgufHeader } from '../checkpoints/gguf';
import type { JobContext } from '../jobs/job';
import type { LayeredModel } from '../models/layered-model';
import type { AnyModel } from '../models/opened-model';
import { withChanges } from './changes';
import type { Changes } from './changes';
import type { CheckpointSource } from './checkpoint-source';
import { deciLayout } from './gguf-deci';
import { planGguf, writeGguf } from './gguf-writer';
import { graphWriter } from './graph-writer';
import { layouts } from './layouts';
import type { OutputTarget } from './output-options';
import { describeGgufLoading } from './preview-file';
import { writtenLogits } from './verify';
import type { VerificationOptions } from './verify';
import { parametersAfter, planTensors } from './weight-plan';
import { encoderOnnxWriter, onnxWriter, safetensorsWriter } from './weight-writers';
import type { WeightWriter, WriteOptions } from './weight-writers';
import type { WriteSource } from './write-source';

/** What writes changes as a target that can express them. */
export async function createWriter(
  { model, headers }: WriteSource,
  { format, layout = 'blocks' }: OutputTarget,
  changes: Changes,
  options: WriteOptions,
  context: JobContext,
): Promise<WeightWriter> {
  switch (headers.format) {
    case 'onnx':
      return graphWriter(headers.graph, changes, context);
    case 'gguf':
      return ggufWriter(model, headers.header, { changes, layout }, options, context);
    case 'safetensors': {
      const source = { model, ...headers };
      return format === 'onnx'
        ? folderToOnnx(source, withChanges<AnyModel>(model, changes), changes, context)
        : safetensorsWriter(source, layouts[layout], changes, options, context);
    }
  }
}

function folderToOnnx(
  source: CheckpointSource,
  changed: AnyModel,
  changes: Changes,
  context: JobContext,
): WeightWriter {
  switch (changed.kind) {
    case 'decoder':
      return onnxWriter(source, changed.emitter, changes, context);
    case 'encoder':
      return encoderOnnxWriter(source, changed, changes, context);
    case 'graph':
      throw new Error('a folder of safetensors is no graph');
  }
}

/** A GGUF file under its own name. */
async function ggufWriter(
  model: LayeredModel,
  header: GgufHeader,
  { changes, layout }: { readonly changes: Changes } & Required<Pick<OutputTarget, 'layout'>>,
  options: VerificationOptions,
  context: JobContext,
): Promise<WeightWriter> {
  const isDeci = layout === 'deci';
  const tensors = new Map(header.tensors.map((tensor) => [tensor.name, tensor]));
  const checkpoint = { tensors, files: [header.file], entry: header.file, metadata: {} };
  const kept = planTensors(model, checkpoint, changes);
  const blocks = isDeci ? await deciLayout(header, changes) : { blocks: changes.blocks };
  const plan = await planGguf(header, blocks, kept);
  const name = basename(header.file);
  return {
    bytes: plan.bytes,
    parameters: parametersAfter(model, changes),
    layout,
    loadsWith: describeGgufLoading(name, changes, isDeci),
    texts: {},
    write: async (folder, copier) => {
      await writeGguf(join(folder, name), plan, copier);
      return [name];
    },
    output: async (folder, input) => writtenLogits(join(folder, name), input, options, context),
  };
}
