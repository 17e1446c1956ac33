import { join } from 'node:path';
import type { JobContext } from '../jobs/job';
import { withVariant } from '../models/encoders/encoder-architecture';
import type { EncoderModel } from '../models/encoders/encoder-model';
import type { Seq2SeqModel } from '../models/seq2seq/seq2seq-model';
import type { StagedModel } from '../models/stages/staged-model';
import { inputIds } from '../models/example';
import { describeForms } from '../models/encodings/encoding-spec';
import { hasMixers } from '../models/model-summary';
import type { ModelSummary } from '../models/model-summary';
import type { ModelEmitter } from '../models/model-emitter';
import { GraphBuilder } from '../onnx/graph-builder';
import { runWholeGraph } from '../runtime/whole-graph';
import type { CheckpointSource } from './hugging-face/checkpoint-source';
import { configurationModule, deciConfiguration } from './hugging-face/deci-config';
import { encoderModelingFile } from './hugging-face/encoder-modeling-file';
import { modelingFile } from './hugging-face/modeling-file';
import { modelingModule } from './hugging-face/modeling-classes';
import type { NamedClasses } from './hugging-face/modeling-classes';
import { seq2seqModelingFile } from './hugging-face/seq2seq-modeling-file';
import { stagedModelingFile } from './hugging-face/staged-modeling-file';
import { buildOnnxGraph, onnxName, planOnnxData, writeOnnx } from './onnx/onnx-writer';
import type { Layout } from './hugging-face/layouts';
import { rewriteConfig } from './hugging-face/pruned-config';
import type { Changes } from './changes';
import { writeSafetensors } from './hugging-face/safetensors-writer';
import { graphLogits, writtenLogits, writtenOnnxLogits } from './verify';
import { parametersAfter, placesAfter, planShards } from './weight-plan';
import type { WeightWriter, WriteOptions } from './weight-writer';
import { say } from '../message';

/** Safetensors as transformers lays them out. */
export function safetensorsWriter(
  source: CheckpointSource,
  layout: Layout,
  changes: Changes,
  options: WriteOptions,
  context: JobContext,
): WeightWriter {
  const { model, checkpoint } = source;
  const planned = layout.plan(source, changes);
  const shards = planShards(planned, options.maxShardBytes);
  return {
    bytes: shards
      .flatMap(({ tensors }) => tensors)
      .reduce((sum, { tensor }) => sum + tensor.length, 0),
    parameters: layout.keepsWeights ? model.summary.parameters : parametersAfter(model, changes),
    layout: layout.name,
    loadsWith: layout.loadsWith(source),
    texts: {
      'config.json': layout.config(source, changes),
      ...moduleText(source, layout, changes),
    },
    write: async (folder, copier) => writeSafetensors(folder, shards, checkpoint, copier),
    output: async (folder, input) => writtenLogits(folder, input, options, context),
  };
}

/** The layout's Python module by its name. */
function moduleText(
  source: CheckpointSource,
  layout: Layout,
  changes: Changes,
): Readonly<Record<string, string>> {
  switch (layout.module) {
    case 'modeling':
      return { [`${modelingModule}.py`]: modelingText(source, changes) };
    case 'configuration':
      return { [`${configurationModule}.py`]: deciConfiguration };
    case 'none':
      return {};
  }
}

/** Python module for changes that a stock model class can't load. */
function modelingText({ model, family, configText }: CheckpointSource, changes: Changes): string {
  const named = JSON.parse(configText) as NamedClasses;
  switch (family.kind) {
    case 'encoder-decoder':
      return seq2seqModelingFile(family, named, changes);
    case 'stages':
      return stagedModelingFile(family.architecture, named, placesAfter(model, changes), changes);
    case 'encoder':
      return encoderModelingFile(withVariant(family.architecture, family.config), named, changes);
    case 'decoder':
      return modelingFile(family.architecture, named, changes);
  }
}

/** Metadata of an ONNX file about its source. */
export function describeInGraph(
  { name }: ModelSummary,
  { removed, matrices, patched }: Changes,
): Readonly<Record<string, string>> {
  return {
    'espalier.source': name,
    'espalier.removed': removed.join(','),
    ...(matrices.size === 0
      ? {}
      : { 'espalier.compressed': JSON.stringify(describeForms(matrices)) }),
    ...(Object.keys(patched).length === 0 ? {} : { 'espalier.patches': JSON.stringify(patched) }),
  };
}

/** Writer of one ONNX graph with its weights in a separate file. */
export function onnxWriter(
  source: CheckpointSource,
  emitter: ModelEmitter,
  changes: Changes,
  context: JobContext,
): WeightWriter {
  const { summary } = source.model;
  const graph = buildOnnxGraph(source.model, emitter, changes);
  const removedIds = new Set(changes.removed);
  const cachedBlocks = summary.sublayers.flatMap(({ id, block, kind }) =>
    removedIds.has(id) || !(kind === 'attention' || kind === 'mixer') ? [] : [block],
  );
  const { family } = source;
  const caches =
    family.kind === 'decoder' && family.architecture.compressed !== undefined
      ? say`${cachedBlocks.length} caches: keys and compressed values, which optimum and onnxruntime-genai don't support`
      : hasMixers(summary)
        ? say`${cachedBlocks.length} caches: keys and values as optimum names them, with SSM states next to them`
        : say`${cachedBlocks.length} key/value caches as optimum names them`;
  const metadata = describeInGraph(summary, changes);
  return {
    bytes: planOnnxData(graph).bytes,
    parameters: parametersAfter(source.model, changes),
    loadsWith: say`ONNX Runtime: model.onnx with model.onnx_data next to it, ${caches}.`,
    texts: {
      'config.json': rewriteConfig(source, {
        blocks: hasMixers(summary) ? changes.blocks : cachedBlocks,
        absent: [],
      }),
    },
    write: async (folder, copier) => writeOnnx(folder, graph, metadata, copier),
    output: async (folder, input) =>
      writtenOnnxLogits(folder, inputIds(input), emitter.vocabularySize, context),
    reference: async (input) =>
      graphLogits(graph, inputIds(input), emitter.vocabularySize, context),
  };
}

/**
 * Writer of one ONNX graph of an encoder, an encoder–decoder or a model of stages, with its weights
 * in a separate file.
 */
export function encoderOnnxWriter(
  source: CheckpointSource,
  model: EncoderModel | Seq2SeqModel | StagedModel,
  changes: Changes,
  context: JobContext,
): WeightWriter {
  const { summary, inputs, output } = model;
  const removedIds = new Set(changes.removed);
  const graph = new GraphBuilder(summary.name);
  model.emitWhole(
    graph,
    new Set(summary.sublayers.flatMap(({ id }, index) => (removedIds.has(id) ? [index] : []))),
  );
  const metadata = describeInGraph(summary, changes);
  return {
    bytes: planOnnxData(graph).bytes,
    parameters: parametersAfter(source.model, changes),
    loadsWith: say`ONNX Runtime: model.onnx with model.onnx_data next to it, ${inputs.map(({ name }) => name).join(', ')} → ${output.name}.`,
    texts: {
      'config.json': rewriteConfig(source, { blocks: changes.blocks, absent: [] }),
    },
    write: async (folder, copier) => writeOnnx(folder, graph, metadata, copier),
    output: async (folder, input) => {
      context.progress({
        stage: say`Checking the written model`,
        done: 0,
        total: 1,
        unit: 'steps',
      });
      return runWholeGraph(join(folder, onnxName), model, input);
    },
  };
}
