import { basename, join } from 'node:path';
import type { GgufHeader } from '../checkpoints/gguf';
import { elementCount } from '../checkpoints/lazy-tensor';
import type { Checkpoint } from '../checkpoints/lazy-tensor';
import type { JobContext } from '../jobs/job';
import { idsOf } from '../models/example';
import type { ModelInput } from '../models/example';
import { requireGgufBlocks } from '../models/gguf-model';
import { readArchitecture } from '../models/open-model';
import type { LayeredModel } from '../models/layered-model';
import type { ModelEmitter } from '../models/model-emitter';
import type { ByteCopier } from './byte-copier';
import { planGguf, writeGguf } from './gguf-writer';
import { modellingFile, modellingModule } from './modelling-file';
import { buildOnnxGraph, planOnnxData, writeOnnx } from './onnx-writer';
import { describeLoading, rewriteConfig } from './pruned-config';
import { describeGgufLoading } from './preview-file';
import { requireWholeBlocks } from './removal';
import type { Removal } from './removal';
import { writeSafetensors } from './safetensors-writer';
import { writtenLogits, writtenOnnxLogits } from './verify';
import type { VerificationOptions } from './verify';
import { planShards, planTensors, removedTensors } from './weight-plan';

/** A model in safetensors, and what its writers need of it. */
export interface CheckpointSource {
  readonly model: LayeredModel;
  readonly emitter: ModelEmitter;
  readonly checkpoint: Checkpoint;
  /** Text of config.json. */
  readonly configText: string;
}

/** One output format: what it writes, and how that is read back. */
export interface WeightWriter {
  /** Bytes of weights. */
  readonly bytes: number;
  /** Number of weights. */
  readonly parameters: number;
  /** How other tools load the result, as a sentence. */
  readonly loadsWith: string;
  /** Small files by name, config.json among them. */
  readonly texts: Readonly<Record<string, string>>;
  /** Gives the names of the files written, weights first. */
  write(folder: string, copier: ByteCopier): Promise<string[]>;
  /** The output of what was written, opened anew: logits [tokens, vocabulary] of a language model. */
  output(folder: string, input: ModelInput): Promise<Float32Array>;
}

/** Safetensors as transformers lays them out. */
export function safetensorsWriter(
  source: CheckpointSource,
  removal: Removal,
  options: VerificationOptions & { readonly maxShardBytes?: number },
  context: JobContext,
): WeightWriter {
  const { model, checkpoint, configText } = source;
  const { architecture } = model.summary;
  const withModellingFile = removal.absent.length > 0;
  const shards = planShards(planTensors(model, checkpoint, removal), options.maxShardBytes);
  return {
    bytes: shards
      .flatMap(({ tensors }) => tensors)
      .reduce((sum, { tensor }) => sum + tensor.length, 0),
    parameters: parametersAfter(model, removal),
    loadsWith: describeLoading(architecture, withModellingFile),
    texts: {
      'config.json': rewriteConfig(configText, removal),
      ...(withModellingFile
        ? {
            [`${modellingModule}.py`]: modellingFile(
              readArchitecture(configText, model.summary.path).architecture,
            ),
          }
        : {}),
    },
    write: async (folder, copier) => writeSafetensors(folder, shards, checkpoint, copier),
    output: async (folder, input) => writtenLogits(folder, input, options, context),
  };
}

/** A GGUF file under its own name, with whole blocks taken out. */
export async function ggufWriter(
  model: LayeredModel,
  header: GgufHeader,
  removal: Removal,
  options: VerificationOptions,
  context: JobContext,
): Promise<WeightWriter> {
  requireWholeBlocks(model.summary, removal);
  await requireGgufBlocks(header, removal.blocks);
  const tensors = new Map(header.tensors.map((tensor) => [tensor.name, tensor]));
  const checkpoint = { tensors, files: [header.file], entry: header.file, metadata: {} };
  const kept = planTensors(model, checkpoint, removal);
  const plan = await planGguf(header, removal.blocks, kept);
  const name = basename(header.file);
  return {
    bytes: plan.bytes,
    parameters: parametersAfter(model, removal),
    loadsWith: describeGgufLoading(name, removal.blocks.length),
    texts: {},
    write: async (folder, copier) => {
      await writeGguf(join(folder, name), plan, copier);
      return [name];
    },
    output: async (folder, input) => writtenLogits(join(folder, name), input, options, context),
  };
}

/** Weights left: what a removed sublayer shares with another stays. */
function parametersAfter(model: LayeredModel, removal: Removal): number {
  return removedTensors(model, removal).reduce(
    (left, { shape }) => left - elementCount(shape),
    model.summary.parameters,
  );
}

/** One ONNX graph with its weights in a file beside it. */
export function onnxWriter(
  source: CheckpointSource,
  removal: Removal,
  context: JobContext,
): WeightWriter {
  const { summary } = source.model;
  const { emitter } = source;
  const graph = buildOnnxGraph(source.model, emitter, removal);
  const cachedBlocks = removal.kept.flatMap(({ kind, block }) =>
    kind === 'attention' ? [block] : [],
  );
  const metadata = {
    'espalier.source': summary.name,
    'espalier.removed': removal.removed.join(','),
  };
  return {
    bytes: planOnnxData(graph).bytes,
    parameters: parametersAfter(source.model, removal),
    loadsWith: `ONNX Runtime: model.onnx with model.onnx_data beside it, ${cachedBlocks.length} key/value caches named as optimum does.`,
    texts: {
      'config.json': rewriteConfig(source.configText, { blocks: cachedBlocks, absent: [] }),
    },
    write: async (folder, copier) => writeOnnx(folder, graph, metadata, copier),
    output: async (folder, input) =>
      writtenOnnxLogits(folder, idsOf(input), emitter.vocabularySize, context),
  };
}
