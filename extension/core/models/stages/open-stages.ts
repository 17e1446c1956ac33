import type { Checkpoint } from '../../checkpoints/lazy-tensor';
import type { ModelFolder } from '../../checkpoints/model-folder';
import { openSafetensors } from '../../checkpoints/safetensors';
import { setField } from '../../set-json-field';
import { fingerprintModel } from '../fingerprint';
import { bytesByDType, unusedWarnings } from '../summarize';
import type { LayeredModel } from '../layered-model';
import type { ModelSummary } from '../model-summary';
import type { MatrixEncoding } from '../matrix-encoding';
import { inFile } from '../../user-error';
import { parseStagedConfig } from './staged-config';
import { classNames } from './staged-family';
import type { StagedFamily } from './staged-family';
import { layOutStages } from './staged-layout';
import type { StagedLayout } from './staged-layout';
import { bytesIn, summarizeStages, weightsIn } from './staged-costs';
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
  const layOut = (forms: ReadonlyMap<string, MatrixEncoding> = new Map()): StagedLayout => {
    try {
      return layOutStages(family, config, { folder, checkpoint, forms });
    } catch (error) {
      throw inFile(error, folder.config);
    }
  };
  const layout = layOut();
  const fingerprint = await fingerprintModel(configText, checkpoint);
  const compressed = config.espalier?.compressed;
  const summary: ModelSummary = {
    ...summarize(folder, family.modelType, checkpoint, layout, fingerprint),
    ...(compressed === undefined ? {} : { compressed }),
  };
  const headClass = layout.head === undefined ? undefined : classNames(family).head;
  const model = new StagedModel(summary, checkpoint.files, layout, { layOut, headClass });
  return { model, checkpoint };
}

/** The text of config.json, with the class of the head that the tensors have where it names none. */
export function withHead(configText: string, model: LayeredModel): string {
  if (!(model instanceof StagedModel) || model.origin.headClass === undefined) {
    return configText;
  }
  const { architectures } = JSON.parse(configText) as { readonly architectures?: unknown };
  const isNamed = Array.isArray(architectures) && architectures.length > 0;
  return isNamed ? configText : setField(configText, ['architectures'], [model.origin.headClass]);
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
    parameters: weightsIn(
      tensors.filter((tensor) => !unused.has(tensor.name)),
      layout.sublayers.flatMap(({ branch }) => branch.linears ?? []),
    ),
    bytes: bytesIn(tensors),
    dtypes: bytesByDType(checkpoint),
    blocks: layout.blockPlaces.length,
    sublayers: summarizeStages(layout),
    ...(layout.absent.length === 0 ? {} : { absent: layout.absent }),
    ...(layout.keepsBlocks ? { keepsBlocks: true } : {}),
    fingerprint,
    warnings: unusedWarnings(layout.unused),
  };
}
