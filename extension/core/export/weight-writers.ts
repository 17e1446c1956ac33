import { join } from 'node:path';
import type { Checkpoint } from '../checkpoints/lazy-tensor';
import type { JobContext } from '../jobs/job';
import { knownEncoder } from '../models/encoders/encoder-architectures';
import type { EncoderModel } from '../models/encoders/encoder-model';
import { idsOf } from '../models/example';
import type { ModelInput } from '../models/example';
import { readArchitecture } from '../models/open-model';
import type { LayeredModel } from '../models/layered-model';
import { baseModelType } from '../models/model-config';
import type { ModelEmitter } from '../models/model-emitter';
import { GraphBuilder } from '../onnx/graph-builder';
import { runWholeGraph } from '../runtime/whole-graph';
import type { ByteCopier } from './byte-copier';
import { encoderModellingFile } from './encoder-modelling-file';
import { modellingFile, modellingModule } from './modelling-file';
import type { NamedClasses } from './modelling-file';
import { buildOnnxGraph, onnxName, planOnnxData, writeOnnx } from './onnx-writer';
import type { Dialect, DialectName } from './dialects';
import { rewriteConfig } from './pruned-config';
import type { Removal } from './removal';
import { writeSafetensors } from './safetensors-writer';
import { writtenLogits, writtenOnnxLogits } from './verify';
import type { VerificationOptions } from './verify';
import { parametersAfter, planShards } from './weight-plan';

/** A model in safetensors, and what its writers need of it. */
export interface CheckpointSource<T extends LayeredModel = LayeredModel> {
  readonly model: T;
  readonly checkpoint: Checkpoint;
  /** Text of config.json. */
  readonly configText: string;
}

/** Choices that some forms leave open. */
export interface WriteOptions extends VerificationOptions {
  /** Largest safetensors file in bytes of data; sharded as the source when absent. */
  readonly maxShardBytes?: number;
}

/** One output format: what it writes, and how that is read back. */
export interface WeightWriter {
  /** Bytes of weights. */
  readonly bytes: number;
  /** Number of weights. */
  readonly parameters: number;
  /** How the result says what is gone, where there are several ways. */
  readonly dialect?: DialectName;
  /** How other tools load the result, as a sentence. */
  readonly loadsWith: string;
  /** Small files by name, config.json among them. */
  readonly texts: Readonly<Record<string, string>>;
  /** Gives the names of the files written, weights first. */
  write(folder: string, copier: ByteCopier): Promise<string[]>;
  /**
   * The output of what was written, opened anew and run as `mode`, the source or one of its other
   * modes: logits [tokens, vocabulary] of a language model.
   */
  output(folder: string, input: ModelInput, mode: LayeredModel): Promise<Float32Array>;
}

/** Safetensors as transformers lays them out. */
export function safetensorsWriter(
  source: CheckpointSource,
  dialect: Dialect,
  removal: Removal,
  options: WriteOptions,
  context: JobContext,
): WeightWriter {
  const { model, checkpoint, configText } = source;
  const planned = dialect.plan(source, removal);
  const shards = planShards(planned, options.maxShardBytes);
  return {
    bytes: shards
      .flatMap(({ tensors }) => tensors)
      .reduce((sum, { tensor }) => sum + tensor.length, 0),
    parameters: dialect.keepsWeights ? model.summary.parameters : parametersAfter(model, removal),
    dialect: dialect.name,
    loadsWith: dialect.loadsWith(configText),
    texts: {
      'config.json': dialect.config(configText, removal, source),
      ...(dialect.modellingFile
        ? { [`${modellingModule}.py`]: modellingText(configText, model.summary.path) }
        : {}),
    },
    write: async (folder, copier) => writeSafetensors(folder, shards, checkpoint, copier),
    output: async (folder, input) => writtenLogits(folder, input, options, context),
  };
}

/** The Python module that loads the model without single sublayers. */
function modellingText(configText: string, file: string): string {
  const named = JSON.parse(configText) as NamedClasses;
  const encoder = knownEncoder(baseModelType(String(named.model_type)));
  return encoder === undefined
    ? modellingFile(readArchitecture(configText, file).architecture)
    : encoderModellingFile(encoder, named);
}

/** One ONNX graph with its weights in a file beside it. */
export function onnxWriter(
  source: CheckpointSource,
  emitter: ModelEmitter,
  removal: Removal,
  context: JobContext,
): WeightWriter {
  const { summary } = source.model;
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

/** One ONNX graph of an encoder with its weights in a file beside it. */
export function encoderOnnxWriter(
  { model, configText }: CheckpointSource<EncoderModel>,
  removal: Removal,
  context: JobContext,
): WeightWriter {
  const { summary, inputs, output } = model;
  const gone = new Set(removal.removed);
  const graph = new GraphBuilder(summary.name);
  model.emitWhole(
    graph,
    new Set(summary.sublayers.flatMap(({ id }, index) => (gone.has(id) ? [index] : []))),
  );
  const metadata = {
    'espalier.source': summary.name,
    'espalier.removed': removal.removed.join(','),
  };
  return {
    bytes: planOnnxData(graph).bytes,
    parameters: parametersAfter(model, removal),
    loadsWith: `ONNX Runtime: model.onnx with model.onnx_data beside it, ${inputs.map(({ name }) => name).join(', ')} → ${output.name}.`,
    texts: {
      'config.json': rewriteConfig(configText, { blocks: removal.blocks, absent: [] }),
    },
    write: async (folder, copier) => writeOnnx(folder, graph, metadata, copier),
    output: async (folder, input) => {
      context.progress({ stage: 'Checking the written model', done: 0, total: 1, unit: 'steps' });
      return runWholeGraph(join(folder, onnxName), model, input);
    },
  };
}
