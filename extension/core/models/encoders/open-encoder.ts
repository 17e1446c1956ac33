import type { ModelFolder } from '../../checkpoints/model-folder';
import { readSmallText } from '../../checkpoints/regular-file';
import { openSafetensors } from '../../checkpoints/safetensors';
import { fingerprintModel } from '../fingerprint';
import { baseModelType, readModelType } from '../model-config';
import { hasTiedHead } from '../outer-matrices';
import { summarizeModel } from '../summarize';
import { knownEncoder } from './encoder-architectures';
import { parseEncoderConfig } from './encoder-config';
import { layOutEncoder, outerOf } from './encoder-layout';
import { EncoderModel } from './encoder-model';

/**
 * Opens the encoder in a folder, or gives undefined where its config.json names another model.
 * @throws UserError when something is missing or damaged.
 */
export async function openEncoder(folder: ModelFolder): Promise<EncoderModel | undefined> {
  const configText = await readSmallText(folder.config);
  const architecture = knownEncoder(baseModelType(readModelType(configText) ?? ''));
  if (architecture === undefined) {
    return undefined;
  }
  const config = parseEncoderConfig(configText, folder.config, architecture.config);
  const checkpoint = await openSafetensors(folder.weights);
  const layout = layOutEncoder(architecture, config, folder, checkpoint);
  const { maxPositions, canTie, embedding } = layout;
  const outer = outerOf(layout);
  const summary = summarizeModel({
    folder,
    config,
    checkpoint,
    layout: { ...layout, keepsCache: false },
    outer,
    fingerprint: await fingerprintModel(configText, checkpoint),
    sizes: {
      ...(embedding.kind === 'text'
        ? { vocabularySize: embedding.words.weight.shape[0] ?? 0 }
        : {}),
      ...(maxPositions === undefined ? {} : { maxPositions }),
      ...(canTie ? { tiedHead: hasTiedHead(outer) } : {}),
    },
  });
  return new EncoderModel(summary, checkpoint.files, layout);
}
