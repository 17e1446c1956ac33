import { elementCount } from '../checkpoints/lazy-tensor';
import type { Checkpoint, LazyTensor } from '../checkpoints/lazy-tensor';
import { isGguf, locateModel, locateOnnx } from '../checkpoints/model-folder';
import type { ModelFolder } from '../checkpoints/model-folder';
import { readSmallText } from '../checkpoints/regular-file';
import { openSafetensors } from '../checkpoints/safetensors';
import { UserError } from '../user-error';
import type { Architecture } from './architecture';
import { architectures, knownArchitecture } from './architectures';
import { fingerprintModel } from './fingerprint';
import { openGguf } from './gguf-model';
import type { LayeredModel } from './layered-model';
import type { Linear } from './linear';
import { parseModelConfig, readModelType } from './model-config';
import type { ModelConfig } from './model-config';

import { OnnxLayeredModel } from './onnx/onnx-layered-model';
import type { ModelSummary, QuantizationSummary, SublayerSummary } from './model-summary';
import { joinPacked } from './packed-checkpoint';
import { readQuantization } from './quantization';
import { layOutTransformer } from './transformer-layout';
import type { TransformerLayout, TransformerSublayer } from './transformer-layout';
import { sublayerLinears, sublayerTensors, TransformerModel } from './transformer-model';

/**
 * Opens a model from its folder or any of its files. Only headers are read.
 * @throws UserError when something is missing, damaged or not known.
 */
export async function openModel(path: string): Promise<LayeredModel> {
  const onnx = await locateOnnx(path);
  if (onnx !== undefined) {
    return OnnxLayeredModel.open(onnx);
  }
  const folder = await locateModel(path);
  const gguf = isGguf(folder.weights) ? await openGguf(folder.weights) : undefined;
  const configText = gguf?.configText ?? (await readSmallText(folder.config));
  const { architecture, config } = readArchitecture(configText, folder.config, gguf?.architecture);
  const quantization = config.quantization_config
    ? readQuantization(config.quantization_config, folder.config)
    : undefined;
  if (quantization !== undefined && architecture.transposed === true) {
    throw new UserError(`Quantized weights of ${architecture.modelType} models are not known.`, {
      file: folder.config,
      field: 'quantization_config',
    });
  }
  const checkpoint = gguf?.checkpoint ?? (await openSafetensors(folder.weights));
  const joined =
    quantization === undefined
      ? plainCheckpoint(checkpoint, folder.config)
      : await joinPacked(checkpoint, quantization);
  const layout = layOutTransformer(architecture, config, folder, joined);
  const fingerprint = await fingerprintModel(configText, checkpoint);
  const summary = {
    ...summarize(folder, config, layout, joined, fingerprint, quantization),
    dtypes: bytesByDType(checkpoint),
  };
  return new TransformerModel(summary, checkpoint.files, layout);
}

/**
 * The family of a config.json, in the form it asks for, and its fields.
 * @throws UserError for an unknown family or a field that cannot be read.
 */
export function readArchitecture(
  configText: string,
  file: string,
  known?: Architecture,
): { architecture: Architecture; config: ModelConfig } {
  const architecture = known ?? architectureOf(configText, file);
  const config = parseModelConfig(configText, file, architecture.config);
  return { architecture: { ...architecture, ...architecture.form?.(config) }, config };
}

/**
 * The family that config.json names.
 * @throws UserError when it is not known, or when config.json has other faults and names none.
 */
function architectureOf(configText: string, file: string): Architecture {
  const modelType = readModelType(configText);
  const architecture = knownArchitecture(baseType(modelType));
  if (architecture !== undefined) {
    return architecture;
  }
  if (modelType === undefined) {
    parseModelConfig(configText, file);
    throw new UserError('The field is missing.', { file, field: 'model_type' });
  }
  throw new UserError(`Architecture "${modelType}" is not known.`, {
    file,
    field: 'model_type',
    remedy: `Known are ${architectures.map((known) => known.modelType).join(', ')}.`,
  });
}

/** @throws UserError for packed weights that config.json says nothing of. */
function plainCheckpoint(checkpoint: Checkpoint, config: string): Checkpoint {
  const packed = [...checkpoint.tensors.keys()].find((name) => name.endsWith('.qweight'));
  if (packed !== undefined) {
    throw new UserError(`The weights are quantized (${packed}), but the field is missing.`, {
      file: config,
      field: 'quantization_config',
      remedy:
        'Add it with "quant_method": "gptq" or "awq" and the fields of quantize_config.json or quant_config.json.',
    });
  }
  return checkpoint;
}

/** Prefix of `model_type` in folders that Espalier has written; see export/. */
export const prunedTypePrefix = 'espalier-';

function baseType(modelType = ''): string {
  return modelType.startsWith(prunedTypePrefix)
    ? modelType.slice(prunedTypePrefix.length)
    : modelType;
}

function summarize(
  folder: ModelFolder,
  config: ModelConfig,
  layout: TransformerLayout,
  checkpoint: Checkpoint,
  fingerprint: string,
  quantization: QuantizationSummary | undefined,
): Omit<ModelSummary, 'dtypes'> {
  const tensors = [...checkpoint.tensors.values()];
  const unused = new Set([...layout.unused, ...layout.computed]);
  const used = tensors.filter((tensor) => !unused.has(tensor.name));
  const [firstUnused] = layout.unused;
  return {
    name: folder.name,
    path: folder.path,
    architecture: config.model_type,
    ...(quantization === undefined ? {} : { quantization }),
    parameters: sum(used, (tensor) => elementCount(tensor.shape)),
    bytes: sum(tensors, (tensor) => tensor.length),
    blocks: config.num_hidden_layers,
    hiddenSize: config.hidden_size,
    vocabularySize: config.vocab_size,
    maxPositions: config.max_position_embeddings,
    tiedHead: layout.tiedHead,
    sublayers: summarizeSublayers(layout),
    ...(layout.absent.length === 0 ? {} : { absent: layout.absent }),
    fingerprint,
    warnings: [
      ...(quantization?.refusal === undefined ? [] : [quantization.refusal]),
      ...(firstUnused === undefined
        ? []
        : [
            `${layout.unused.length} tensors of the checkpoint are not used by this architecture (such as ${firstUnused}).`,
          ]),
    ],
  };
}

function summarizeSublayers(layout: TransformerLayout): SublayerSummary[] {
  const users = new Map<LazyTensor, number>();
  for (const tensor of layout.sublayers.flatMap(sublayerTensors)) {
    users.set(tensor, (users.get(tensor) ?? 0) + 1);
  }
  return layout.sublayers.map((sublayer) => {
    const own = sublayerTensors(sublayer).filter((tensor) => users.get(tensor) === 1);
    return summarizeSublayer(sublayer, own, layout);
  });
}

function bytesByDType({ tensors }: Checkpoint): Record<string, number> {
  const bytes: Record<string, number> = {};
  for (const { dtype, length } of tensors.values()) {
    bytes[dtype] = (bytes[dtype] ?? 0) + length;
  }
  return bytes;
}

function summarizeSublayer(
  sublayer: TransformerSublayer,
  own: readonly LazyTensor[],
  layout: TransformerLayout,
): SublayerSummary {
  const { numKeyValueHeads, headDim } = layout.attention;
  const [first] = own;
  const storedBytes = first === undefined ? 4 : first.length / elementCount(first.shape);
  return {
    id: `block.${sublayer.block}.${sublayer.kind}`,
    block: sublayer.block,
    kind: sublayer.kind,
    parameters: sum(own, (tensor) => elementCount(tensor.shape)),
    bytes: sum(own, (tensor) => tensor.length),
    flopsPerToken: flopsPerToken(sublayer),
    kvBytesPerToken:
      sublayer.kind === 'attention' ? 2 * numKeyValueHeads * headDim * storedBytes : 0,
  };
}

/** Of a mixture of experts the router and the experts that a token is sent to. */
function flopsPerToken(sublayer: TransformerSublayer): number {
  const flops = (linears: readonly Linear[]): number =>
    sum(linears, ({ weight }) => 2 * elementCount(weight.shape));
  if (sublayer.kind !== 'expert') {
    return flops(sublayerLinears(sublayer));
  }
  const { shape, weights } = sublayer;
  const router = flops([weights.router]);
  const all = flops(sublayerLinears(sublayer)) - router;
  return router + (all * shape.perToken) / shape.count;
}

function sum<T>(items: readonly T[], value: (item: T) => number): number {
  return items.reduce((total, item) => total + value(item), 0);
}
