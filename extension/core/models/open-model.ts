import { readGgufModel } from '../checkpoints/gguf-parts';
import type { Checkpoint } from '../checkpoints/lazy-tensor';
import { isGguf, locateModel, locateOnnx, readConfigText } from '../checkpoints/model-folder';
import type { ModelFolder } from '../checkpoints/model-folder';
import { openSafetensors } from '../checkpoints/safetensors';
import { UserError } from '../user-error';
import type { Architecture } from './transformer/architecture';
import type { EncoderModel } from './encoders/encoder-model';
import { openEncoder, readEncoder } from './encoders/open-encoder';
import { fingerprintModel } from './fingerprint';
import { requireGgufFile } from './gguf/gguf-file';
import type { GgufFile } from './gguf/gguf-file';
import { openGguf } from './gguf/gguf-model';
import type { GgufModel } from './gguf/gguf-model';
import type { LayeredModel } from './layered-model';
import { parseDecoder, parseFamily, requireFamily } from './model-family';
import type { DecoderFamily, ParsedFamily } from './model-family';
import type { ModelConfig } from './transformer/model-config';
import { OnnxLayeredModel } from './onnx/onnx-layered-model';
import type { QuantizationSummary } from './model-summary';
import { OpenedModel } from './opened-model';
import { openSeq2Seq } from './seq2seq/open-seq2seq';
import type { Seq2SeqModel } from './seq2seq/seq2seq-model';
import { openStages } from './stages/open-stages';
import { readT5Gguf } from './gguf/t5-gguf';
import { hasTiedHead } from './transformer/embedding-and-head';
import { joinPacked } from './quantized/packed-checkpoint';
import { readQuantization } from './quantized/quantization';
import { layOutTransformer } from './transformer/transformer-layout';
import { bytesByDType, summarizeModel } from './summarize';
import { TransformerModel } from './transformer/transformer-model';
import { say } from '../message';
import type { Message } from '../message';

/**
 * Opens a model from its folder or any of its files. Only headers are read.
 * @throws UserError when something is missing, damaged or not known.
 */
export async function openModelFiles(path: string): Promise<OpenedModel> {
  const onnx = await locateOnnx(path);
  if (onnx !== undefined) {
    const graph = await OnnxLayeredModel.open(onnx);
    return new OpenedModel(graph, { kind: 'graph' }, { format: 'onnx', graph });
  }
  const folder = await locateModel(path);
  return isGguf(folder.weights) ? openGgufFile(folder) : openFolder(folder);
}

/** Opens a model without the capabilities for writing. */
export async function openModel(path: string): Promise<LayeredModel> {
  return (await openModelFiles(path)).model;
}

async function openGgufFile(folder: ModelFolder): Promise<OpenedModel> {
  const header = await readGgufModel(folder.weights);
  const file = requireGgufFile(header, folder.weights);
  const { model, family } = await readGguf(folder, file);
  return new OpenedModel(model, family, { format: 'gguf', ...file });
}

/**
 * Refuses tensors that llama.cpp scales products of matrices by, as in NVFP4 files and older conversions of BitNet.
 * @param unread names of tensors that the model does not use
 * @throws UserError naming one of them.
 */
function refuseScales(unread: readonly string[], file: string): void {
  const scale = unread.find((name) => name.endsWith('.scale'));
  if (scale !== undefined) {
    throw new UserError(
      'scale-tensors-unsupported',
      say`Separate scale tensors for weights are not supported.`,
      { file, field: scale, remedy: say`Use the Hugging Face folder of the model.` },
    );
  }
}

/** Differences between a model and the files it was made from. */
interface WidthPruned {
  /** Channels and key/value heads by sublayer. */
  readonly widths: Readonly<Record<string, number>>;
  readonly fingerprint: string;
}

interface GgufContents {
  readonly model: TransformerModel | EncoderModel | Seq2SeqModel;
  readonly family: ParsedFamily;
}

/**
 * Reads the model of a GGUF header. Its tensors may have fewer channels or heads than the header
 * says.
 */
export async function readGguf(
  folder: ModelFolder,
  file: GgufFile,
  widthPruned?: WidthPruned,
): Promise<GgufContents> {
  const read =
    file.conversion.towers === undefined
      ? await layOutGguf(
          folder,
          await openGguf(file, folder.weights, widthPruned?.widths),
          widthPruned?.fingerprint,
        )
      : await readT5Gguf(folder, file, widthPruned);
  refuseScales(read.model.layout.unused, folder.weights);
  return read;
}

async function layOutGguf(
  folder: ModelFolder,
  { configText, checkpoint, encoder, architecture }: GgufModel,
  fingerprint?: string,
): Promise<GgufContents> {
  if (encoder !== undefined) {
    const family = parseFamily(
      { kind: 'encoder', architecture: encoder },
      configText,
      folder.config,
    );
    return {
      model: await readEncoder(folder, configText, family, checkpoint, fingerprint),
      family,
    };
  }
  const family = parseDecoder(architecture, configText, folder.config);
  return { model: await readDecoder(folder, configText, family, checkpoint, fingerprint), family };
}

async function openFolder(folder: ModelFolder): Promise<OpenedModel> {
  return openFolderAs(folder, await readConfigText(folder.config));
}

/** Opens a folder with `configText` instead of its config.json. */
export async function openFolderAs(folder: ModelFolder, configText: string): Promise<OpenedModel> {
  const named = requireFamily(configText, folder.config);
  const { model, family, ...read } = await openFamily(
    parseFamily(named, configText, folder.config),
    folder,
    configText,
  );
  return new OpenedModel(model, family, {
    format: 'safetensors',
    configFile: folder.config,
    ...read,
  });
}

/** Opens a model of a family, with the parsed config.json. */
async function openFamily(
  family: ParsedFamily,
  folder: ModelFolder,
  configText: string,
): Promise<
  Pick<OpenedModel, 'model' | 'family'> & {
    readonly checkpoint: Checkpoint;
    readonly configText: string;
  }
> {
  switch (family.kind) {
    case 'encoder-decoder':
      return { ...(await openSeq2Seq(folder, configText, family)), family, configText };
    case 'encoder':
      return openEncoder(folder, configText, family);
    case 'stages':
      return openStages(folder, configText, family);
    case 'decoder': {
      const checkpoint = await openSafetensors(folder.weights);
      const model = await readDecoder(folder, configText, family, checkpoint);
      return { model, family, checkpoint, configText };
    }
  }
}

/** Opens a decoder with these tensors. Uses the fingerprint of its files by default. */
export async function readDecoder(
  folder: ModelFolder,
  configText: string,
  { architecture, config }: Pick<DecoderFamily, 'architecture' | 'config'>,
  checkpoint: Checkpoint,
  fingerprint?: string,
): Promise<TransformerModel> {
  const quantization = config.quantization_config
    ? readQuantization(config.quantization_config, folder.config)
    : undefined;
  if (quantization !== undefined && architecture.transposed === true) {
    throw new UserError(
      'quantized-architecture-unsupported',
      say`Quantized weights of ${architecture.modelType} models are not supported.`,
      {
        file: folder.config,
        field: 'quantization_config',
        remedy: say`Use the original weights in float32, float16 or bfloat16.`,
      },
    );
  }
  return layOut({
    ...{ folder, configText, checkpoint, architecture, config },
    ...(quantization === undefined ? {} : { quantization }),
    ...(fingerprint === undefined ? {} : { fingerprint }),
  });
}

interface Stored {
  readonly folder: ModelFolder;
  readonly configText: string;
  readonly architecture: Architecture;
  readonly config: ModelConfig;
  readonly checkpoint: Checkpoint;
  readonly quantization?: QuantizationSummary;
  readonly fingerprint?: string;
}

/** Lays out the decoder of a checkpoint. */
async function layOut({
  folder,
  configText,
  architecture,
  config,
  checkpoint,
  quantization,
  fingerprint: known,
}: Stored): Promise<TransformerModel> {
  const joined =
    quantization === undefined
      ? plainCheckpoint(checkpoint, folder.config)
      : await joinPacked(checkpoint, quantization);
  const layout = layOutTransformer(architecture, config, folder, joined);
  const embeddingAndHead = layout.epilogue.withEmbedding(layout.embedding.table);
  const fingerprint = known ?? (await fingerprintModel(configText, checkpoint));
  const found = summarizeModel({
    folder,
    config,
    checkpoint: joined,
    layout: { ...layout, keepsCache: true },
    embeddingAndHead,
    fingerprint,
    sizes: {
      vocabularySize: config.vocab_size,
      maxPositions: Math.min(
        config.max_position_embeddings,
        architecture.maxPositions?.(config) ?? Number.POSITIVE_INFINITY,
      ),
      tiedHead: hasTiedHead(embeddingAndHead),
      ...(architecture.dependsOnNumber === true ? { keepsBlocks: true } : {}),
    },
  });
  const refusal = quantization?.refusal;
  const summary = {
    ...found,
    ...(quantization === undefined ? {} : { quantization }),
    dtypes: bytesByDType(checkpoint),
    warnings: [
      ...(refusal === undefined ? [] : [refusal]),
      ...guessWarnings(config),
      ...found.warnings,
    ],
  };
  return new TransformerModel(summary, checkpoint.files, layout);
}

/** Warnings for a model that was opened as a similar family. */
function guessWarnings({ espalier_guess: guess }: ModelConfig): Message[] {
  if (guess === undefined) {
    return [];
  }
  const { family, perplexity, shuffled } = guess;
  return [
    perplexity === undefined || shuffled === undefined
      ? say`Guessed as ${family}, and not checked on text. Results may be wrong.`
      : say`Guessed as ${family}: perplexity ${perplexity.toFixed(1)} on a short text, ${shuffled.toFixed(1)} with shuffled tokens. Results may be wrong.`,
  ];
}

/** @throws UserError for packed weights without quantization settings in config.json */
function plainCheckpoint(checkpoint: Checkpoint, config: string): Checkpoint {
  const packed = [...checkpoint.tensors.keys()].find((name) => name.endsWith('.qweight'));
  if (packed !== undefined) {
    throw new UserError(
      'quantization-config-missing',
      say`The weights are quantized (${packed}), but the field is missing.`,
      {
        file: config,
        field: 'quantization_config',
        remedy: say`Add it with "quant_method": "gptq" or "awq" and the fields of quantize_config.json or quant_config.json.`,
      },
    );
  }
  return checkpoint;
}
