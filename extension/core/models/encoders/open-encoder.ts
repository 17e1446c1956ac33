import type { Checkpoint } from '../../checkpoints/lazy-tensor';
import type { ModelFolder } from '../../checkpoints/model-folder';
import { openSafetensors } from '../../checkpoints/safetensors';
import { setField } from '../../parse-json';
import { fingerprintModel } from '../fingerprint';
import type { FamilyOf, OpenedFolder } from '../model-family';
import type { ModelSummary } from '../model-summary';
import { hasTiedHead } from '../transformer/embedding-and-head';
import { summarizeModel } from '../summarize';
import type { EncoderArchitecture } from './encoder-architecture';
import type { EncoderConfig } from './encoder-config';
import { headForm, layOutEncoder, getEmbeddingAndHead } from './encoder-layout';
import type { EncoderLayout } from './encoder-layout';
import { folderPooling, poolingsWith } from '../folder-pooling';
import type { UserError } from '../../user-error';
import { joined, say } from '../../message';
import type { Message } from '../../message';
import { EncoderModel } from './encoder-model';

/**
 * Opens the encoder in a folder.
 * @throws UserError when something is missing or damaged.
 */
export async function openEncoder(
  folder: ModelFolder,
  configText: string,
  family: FamilyOf<'encoder'>,
): Promise<OpenedFolder<EncoderModel, 'encoder'>> {
  const checkpoint = await openSafetensors(folder.weights);
  const { config, architecture } = family;
  const isWhole = await hasNamedHead(folder, family, checkpoint);
  const architectures = [architecture.classes.model];
  const read = isWhole ? family : { ...family, config: { ...config, architectures } };
  const text = isWhole ? configText : setField(configText, ['architectures'], architectures);
  const model = await readEncoder(folder, text, read, checkpoint);
  return { model, checkpoint, family: read, configText: text };
}

/**
 * False if config.json names a class with a head that the folder lacks: sentence-transformers saves only the encoder,
 * and may keep the class.
 */
async function hasNamedHead(
  { path }: ModelFolder,
  { architecture, config }: FamilyOf<'encoder'>,
  { tensors }: Checkpoint,
): Promise<boolean> {
  const head = headForm(architecture, config);
  const names = [...tensors.keys()];
  const isThere =
    head === undefined ||
    head.steps.some(({ name }) => names.some((tensor) => tensor.endsWith(`${name}.weight`)));
  return (
    isThere || architecture.embedding.kind !== 'text' || (await folderPooling(path)) === undefined
  );
}

/** Opens an encoder with these tensors. Uses the fingerprint of its files by default. */
export async function readEncoder(
  folder: ModelFolder,
  configText: string,
  { architecture, config }: FamilyOf<'encoder'>,
  checkpoint: Checkpoint,
  fingerprint?: string,
): Promise<EncoderModel> {
  const { layout, files, warnings } = await layOutPooled(architecture, config, folder, checkpoint);
  const { maxPositions, canTie, embedding } = layout;
  const embeddingAndHead = getEmbeddingAndHead(layout);
  const described = summarizeModel({
    folder,
    config,
    checkpoint,
    layout: { ...layout, keepsCache: false },
    embeddingAndHead,
    fingerprint: fingerprint ?? (await fingerprintModel(configText, checkpoint)),
    sizes: {
      ...(embedding.kind === 'text'
        ? { vocabularySize: embedding.words.weight.shape[0] ?? 0 }
        : {}),
      ...(maxPositions === undefined ? {} : { maxPositions }),
      ...(canTie ? { tiedHead: hasTiedHead(embeddingAndHead) } : {}),
    },
  });
  const found = { ...described, warnings: [...warnings, ...described.warnings] };
  const summary: ModelSummary =
    architecture.sharedBlocks === undefined
      ? { ...found, ...(layout.gatedBias === undefined ? {} : { keepsFirstBlock: true }) }
      : {
          ...found,
          fixed: say`Blocks of ${config.model_type} models share their weights: removing a sublayer would free no memory.`,
        };
  return new EncoderModel(summary, files, layout);
}

/** Warning for a folder whose pooling isn't supported. */
const notPooled = ({ problem, subject: { file = '' } }: UserError): Message =>
  joined([
    say`Distances are of all hidden states, not of pooled embeddings.`,
    say`${file}: ${problem}`,
  ]);

/**
 * Pooled embedding of a folder for Sentence Transformers, including its dense layers. Used if the
 * model has no head.
 */
async function layOutPooled(
  architecture: EncoderArchitecture,
  config: EncoderConfig,
  folder: ModelFolder,
  checkpoint: Checkpoint,
): Promise<{
  readonly layout: EncoderLayout;
  readonly files: readonly string[];
  readonly warnings: readonly Message[];
}> {
  const takesPooling =
    architecture.embedding.kind === 'text' && headForm(architecture, config) === undefined;
  const {
    pooling,
    dense = [],
    fault,
  } = (takesPooling ? await folderPooling(folder.path) : undefined) ?? {};
  if (pooling === undefined) {
    return {
      layout: layOutEncoder(architecture, config, folder, checkpoint),
      files: checkpoint.files,
      warnings: fault === undefined ? [] : [notPooled(fault)],
    };
  }
  const denseTensors = dense.flatMap(({ tensors }) => [...tensors]);
  const layout = layOutEncoder(
    { ...architecture, heads: poolingsWith(dense.map(({ step }) => step)) },
    { ...config, architectures: [pooling] },
    folder,
    { ...checkpoint, tensors: new Map([...checkpoint.tensors, ...denseTensors]) },
  );
  const files = [...checkpoint.files, ...denseTensors.map(([, { file }]) => file)];
  return { layout, files: [...new Set(files)], warnings: [] };
}
