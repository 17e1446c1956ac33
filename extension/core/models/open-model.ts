import { elementCount } from '../checkpoints/lazy-tensor';
import type { LazyTensor } from '../checkpoints/lazy-tensor';
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
import type { ModelSummary, SublayerSummary } from './model-summary';
import { OnnxLayeredModel } from './onnx/onnx-layered-model';
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
  const { architecture, config } = readArchitecture(configText, folder.config);
  if (config.quantization_config !== null && config.quantization_config !== undefined) {
    throw new UserError(
      `The weights are quantized (${config.quantization_config.quant_method ?? 'method not named'}), which cannot be run yet.`,
      {
        file: folder.config,
        field: 'quantization_config',
        remedy: 'Use the original weights in float32, float16 or bfloat16.',
      },
    );
  }
  const checkpoint = gguf?.checkpoint ?? (await openSafetensors(folder.weights));
  const layout = layOutTransformer(architecture, config, folder, checkpoint);
  const fingerprint = await fingerprintModel(configText, checkpoint);
  const tensors = [...checkpoint.tensors.values()];
  const summary = summarize(folder, config, layout, tensors, fingerprint);
  return new TransformerModel(summary, checkpoint.files, layout);
}

/**
 * The family of a config.json, in the form it asks for, and its fields.
 * @throws UserError for an unknown family or a field that cannot be read.
 */
export function readArchitecture(
  configText: string,
  file: string,
): { architecture: Architecture; config: ModelConfig } {
  const modelType = readModelType(configText);
  const architecture = knownArchitecture(baseType(modelType));
  if (modelType !== undefined && architecture === undefined) {
    throw new UserError(`Architecture "${modelType}" is not known.`, {
      file: file,
      field: 'model_type',
      remedy: `Known are ${architectures.map((known) => known.modelType).join(', ')}.`,
    });
  }
  const config = parseModelConfig(configText, file, architecture?.config);
  if (architecture === undefined) {
    throw new UserError('The field is missing.', { file: file, field: 'model_type' });
  }
  return { architecture: { ...architecture, ...architecture.form?.(config) }, config };
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
  tensors: readonly LazyTensor[],
  fingerprint: string,
): ModelSummary {
  const unused = new Set([...layout.unused, ...layout.computed]);
  const used = tensors.filter((tensor) => !unused.has(tensor.name));
  const dtypes: Record<string, number> = {};
  for (const tensor of tensors) {
    dtypes[tensor.dtype] = (dtypes[tensor.dtype] ?? 0) + tensor.length;
  }
  const [firstUnused] = layout.unused;
  return {
    name: folder.name,
    path: folder.path,
    architecture: config.model_type,
    parameters: sum(used, (tensor) => elementCount(tensor.shape)),
    bytes: sum(tensors, (tensor) => tensor.length),
    dtypes,
    blocks: config.num_hidden_layers,
    hiddenSize: config.hidden_size,
    vocabularySize: config.vocab_size,
    maxPositions: config.max_position_embeddings,
    tiedHead: layout.tiedHead,
    sublayers: summarizeSublayers(layout),
    ...(layout.absent.length === 0 ? {} : { absent: layout.absent }),
    fingerprint,
    warnings:
      firstUnused === undefined
        ? []
        : [
            `${layout.unused.length} tensors of the checkpoint are not used by this architecture (such as ${firstUnused}).`,
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
