import { elementCount } from '../../checkpoints/lazy-tensor';
import type { Checkpoint, LazyTensor } from '../../checkpoints/lazy-tensor';
import type { ModelFolder } from '../../checkpoints/model-folder';
import { openSafetensors } from '../../checkpoints/safetensors';
import { setField } from '../../set-json-field';
import { fingerprintModel } from '../fingerprint';
import { bytesByDType, unusedWarnings } from '../summarize';
import type { LayeredModel } from '../layered-model';
import type { ModelSummary, SublayerSummary } from '../model-summary';
import { inFile } from '../../user-error';
import { parseStagedConfig } from './staged-config';
import type { StagedConfig } from './staged-config';
import { classesOf } from './staged-family';
import type { StagedFamily } from './staged-family';
import { layOutStages } from './staged-layout';
import type { StagedLayout, StagedSublayer } from './staged-layout';
import { StagedModel } from './staged-model';

/**
 * Opens the model of stages in a folder.
 * @throws UserError when something is missing or damaged.
 */
export async function openStages(
  folder: ModelFolder,
  configText: string,
  family: StagedFamily,
): Promise<{ readonly model: StagedModel; readonly checkpoint: Checkpoint }> {
  const config = parseStagedConfig(configText, folder.config, family.config);
  const checkpoint = await openSafetensors(folder.weights);
  const layout = layOut(family, config, folder, checkpoint);
  const fingerprint = await fingerprintModel(configText, checkpoint);
  const summary = summarize(folder, family.modelType, checkpoint, layout, fingerprint);
  const head = layout.head === undefined ? undefined : classesOf(family).head;
  return { model: new StagedModel(summary, checkpoint.files, layout, head), checkpoint };
}

/** The text of config.json, with the class of the head that the tensors have where it names none. */
export function withHead(configText: string, model: LayeredModel): string {
  if (!(model instanceof StagedModel) || model.headClass === undefined) {
    return configText;
  }
  const { architectures } = JSON.parse(configText) as { readonly architectures?: unknown };
  const isNamed = Array.isArray(architectures) && architectures.length > 0;
  return isNamed ? configText : setField(configText, ['architectures'], [model.headClass]);
}

function layOut(
  family: StagedFamily,
  config: StagedConfig,
  folder: ModelFolder,
  checkpoint: Checkpoint,
): StagedLayout {
  try {
    return layOutStages(family, config, checkpoint);
  } catch (error) {
    throw inFile(error, folder.config);
  }
}

function summarize(
  { name, path }: ModelFolder,
  architecture: string,
  checkpoint: Checkpoint,
  layout: StagedLayout,
  fingerprint: string,
): ModelSummary {
  const tensors = [...checkpoint.tensors.values()];
  const unused = new Set([...layout.unused, ...layout.computed]);
  return {
    name,
    path,
    architecture,
    parameters: weightsIn(tensors.filter((tensor) => !unused.has(tensor.name))),
    bytes: bytesIn(tensors),
    dtypes: bytesByDType(checkpoint),
    blocks: layout.blockPlaces.length,
    sublayers: layout.sublayers.map(summarizeSublayer),
    ...(layout.absent.length === 0 ? {} : { absent: layout.absent }),
    ...(layout.keepsBlocks ? { keepsBlocks: true } : {}),
    fingerprint,
    warnings: unusedWarnings(layout.unused),
  };
}

function summarizeSublayer({ id, block, kind, branch }: StagedSublayer): SublayerSummary {
  const { tensors } = branch;
  return {
    id,
    block,
    kind,
    parameters: weightsIn(tensors),
    bytes: bytesIn(tensors),
    // A token is a pixel of the stream: each weight of a matrix or a window is used once for it.
    flopsPerToken: 2 * weightsIn(tensors.filter(({ shape }) => shape.length > 1)),
    kvBytesPerToken: 0,
  };
}

const weightsIn = (tensors: readonly LazyTensor[]): number =>
  tensors.reduce((sum, { shape }) => sum + elementCount(shape), 0);

const bytesIn = (tensors: readonly LazyTensor[]): number =>
  tensors.reduce((sum, { length }) => sum + length, 0);
