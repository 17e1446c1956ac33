import { dirname } from 'node:path';
import type { JobContext } from '../jobs/job';
import type { AnyModel, OpenedModel } from '../models/opened-model';
import type { ModelHeaders } from '../models/model-headers';
import { needsModule, withChanges } from './changes';
import type { Changes } from './changes';
import type { CheckpointSource } from './hugging-face/checkpoint-source';
import { folderGgufOptions } from './gguf/folder-to-gguf';
import { ggufOptions } from './gguf/gguf-options';
import { graphWriter } from './onnx/graph-writer';
import { layoutNames, layouts } from './hugging-face/layouts';
import type { LayoutName } from './hugging-face/layouts';
import { explainNotStored } from './matrix-changes';
import type { OutputOption, OutputOptions } from './output-options';
import { explainNotRewritable } from './hugging-face/pruned-config';
import { findNamedSideFiles, findSideFiles, noSideFiles } from './hugging-face/side-files';
import type { SideFiles } from './hugging-face/side-files';
import { encoderOnnxWriter, onnxWriter, safetensorsWriter } from './weight-writers';
import type { WeightWriter } from './weight-writer';
import { say } from '../message';

/** A model to write, and the formats in which it can be written. */
export interface WriteSource extends OutputOptions {
  readonly model: AnyModel;
  readonly headers: ModelHeaders;
  /** The files of its weights. */
  readonly files: readonly string[];
  /** Folder of its side files. */
  readonly folder: string;
  readonly sideFiles: () => Promise<SideFiles>;
}

/** Formats in which an opened model can be written, and the files written next to its weights. */
export function writeSource(opened: OpenedModel): WriteSource {
  const { model, family, headers, path, widthPruned } = opened;
  const own = { model, headers, path, files: model.files };
  switch (headers.format) {
    case 'onnx': {
      const folder = dirname(path);
      const others = say`an ONNX graph doesn't say which family of models it belongs to.`;
      return {
        ...own,
        folder,
        sideFiles: async () => findNamedSideFiles(folder),
        options: [
          {
            format: 'onnx',
            isDefault: () => true,
            refuse: () => Promise.resolve(undefined),
            writer: async (changes, _, context) =>
              graphWriter(headers.graph, changes, widthPruned, context),
          },
        ],
        unreachable: { safetensors: others, gguf: others },
      };
    }
    case 'gguf': {
      const others = say`a GGUF file stays a GGUF file.`;
      return {
        ...own,
        folder: dirname(path),
        // The file holds its tokenizer and settings itself.
        sideFiles: () => Promise.resolve(noSideFiles),
        options: ggufOptions(opened, headers),
        unreachable: { safetensors: others, onnx: others },
      };
    }
    case 'safetensors':
      if (family.kind === 'graph') {
        throw new Error('a folder of safetensors is no graph');
      }
      return {
        ...own,
        files: headers.checkpoint.files,
        folder: path,
        sideFiles: async () => findSideFiles(path),
        options: folderOptions({ ...headers, model, family }, headers.configFile),
        unreachable: {},
      };
  }
}

type FolderSource = CheckpointSource & { readonly model: AnyModel };

/** The layouts of a Hugging Face folder, and ONNX. */
function folderOptions(source: FolderSource, configFile: string): OutputOption[] {
  const { model } = source;
  const explainConfigNotRewritable = ({
    blocks,
  }: Changes): ReturnType<typeof explainNotRewritable> => {
    const refusal = explainNotRewritable(source, blocks);
    return refusal === undefined ? undefined : { ...refusal, file: configFile };
  };
  const isDeci = model.summary.architecture === 'nemotron-nas';
  const defaultLayout = (changes: Changes): LayoutName =>
    isDeci ? 'deci' : needsModule(changes) ? 'auto-map' : 'blocks';
  return [
    ...layoutNames.map((layout): OutputOption => ({
      format: 'safetensors',
      layout,
      isDefault: (changes) => defaultLayout(changes) === layout,
      refuse: (changes) =>
        Promise.resolve(
          isDeci && layout !== 'deci'
            ? {
                code: 'stays-deci',
                reason: say`A nemotron-nas model can only be written as nemotron-nas.`,
                remedy: say`Choose deci.`,
              }
            : (layouts[layout].refuse(source, changes) ??
                explainNotStored(model, changes) ??
                // Zeroed blocks keep their numbers.
                (layouts[layout].keepsWeights ? undefined : explainConfigNotRewritable(changes))),
        ),
      writer: (changes, options, context) =>
        Promise.resolve(safetensorsWriter(source, layouts[layout], changes, options, context)),
    })),
    {
      format: 'onnx',
      isDefault: () => true,
      refuse: (changes) => Promise.resolve(explainConfigNotRewritable(changes)),
      writer: (changes, _, context) => Promise.resolve(folderToOnnx(source, changes, context)),
    },
    ...folderGgufOptions(source, configFile),
  ];
}

function folderToOnnx(source: FolderSource, changes: Changes, context: JobContext): WeightWriter {
  const changed = withChanges(source.model, changes);
  switch (changed.kind) {
    case 'decoder':
      return onnxWriter(source, changed.emitter, changes, context);
    case 'encoder':
      return encoderOnnxWriter(source, changed.unpooled, changes, context);
    case 'encoder-decoder':
    case 'stages':
      return encoderOnnxWriter(source, changed, changes, context);
    case 'graph':
      throw new Error('a folder of safetensors is no graph');
  }
}
