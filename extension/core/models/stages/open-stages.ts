import type { Checkpoint } from '../../checkpoints/lazy-tensor';
import type { ModelFolder } from '../../checkpoints/model-folder';
import { openSafetensors } from '../../checkpoints/safetensors';
import { setField } from '../../parse-json';
import { fingerprintModel } from '../fingerprint';
import type { FamilyOf, OpenedFolder } from '../model-family';
import { bytesByDType, unusedWarnings } from '../summarize';
import type { ModelSummary } from '../model-summary';
import type { MatrixEncoding } from '../matrix-encoding';
import { inFile } from '../../user-error';
import { classNames } from './staged-family';
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
  { architecture: family, config, ...named }: FamilyOf<'stages'>,
): Promise<OpenedFolder<StagedModel, 'stages'>> {
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
  const isNamed = headClass === undefined || (config.architectures ?? []).length > 0;
  const architectures = isNamed ? config.architectures : [headClass];
  return {
    ...{ model, checkpoint },
    family: { ...named, architecture: family, config: { ...config, architectures } },
    configText: isNamed ? configText : setField(configText, ['architectures'], architectures),
  };
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
