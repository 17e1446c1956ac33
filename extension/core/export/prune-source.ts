import { readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { readGgufHeader } from '../checkpoints/gguf';
import { isGguf, locateModel } from '../checkpoints/model-folder';
import { openSafetensors } from '../checkpoints/safetensors';
import type { JobContext } from '../jobs/job';
import { EncoderModel } from '../models/encoders/encoder-model';
import type { LayeredModel } from '../models/layered-model';
import { OnnxLayeredModel } from '../models/onnx/onnx-layered-model';
import type { ModelSummary } from '../models/model-summary';
import { RemovableUnits, unitsMeant } from '../models/units';
import { openModel } from '../models/open-model';
import { listCandidates, resolveIds } from '../prune/candidates';
import type { Candidate } from '../prune/candidates';
import type { SearchSettings } from '../prune/options';
import { layoutNames, layouts } from './layouts';
import type { LayoutName } from './layouts';
import { ggufForms } from './gguf-form';
import { graphWriter } from './graph-writer';
import { matricesOf, matrixChanges, standIns, whyNotStored } from './matrix-changes';
import { chooseForm, explainForms, findForm } from './output-forms';
import type { FormAnswer, FormName, OutputForm, SourceForms } from './output-forms';
import { whyNotRewritable } from './pruned-config';
import {
  checkChanges,
  layOutChanges,
  needsModule,
  patchesStandingIn,
  withChanges,
} from './changes';
import type { Refusal, Changes } from './changes';
import { findNamedSideFiles, findSideFiles } from './side-files';
import type { SideFiles } from './side-files';
import { encoderOnnxWriter, onnxWriter, safetensorsWriter } from './weight-writers';
import type { CheckpointSource, WeightWriter } from './weight-writers';

/** A model that is written anew, and the forms that it can take. */
export interface PruneSource extends SourceForms {
  readonly model: LayeredModel;
  /** The files of its weights. */
  readonly files: readonly string[];
  /** Where its side files lie. */
  readonly folder: string;
  readonly sideFiles: () => Promise<SideFiles>;
}

/**
 * Opens a model to write it anew.
 * @throws UserError where it cannot be opened.
 */
export async function openSource(modelPath: string): Promise<PruneSource> {
  const model = await openModel(modelPath);
  const { path } = model.summary;
  if (model instanceof OnnxLayeredModel) {
    const folder = dirname(path);
    const others = 'a graph says what is computed, not which family of models it belongs to.';
    return {
      model,
      path,
      files: model.files,
      folder,
      sideFiles: async () => findNamedSideFiles(folder),
      forms: [
        {
          format: 'onnx',
          isDefault: () => true,
          refuse: () => Promise.resolve(undefined),
          create: async (changes, _, context) => graphWriter(model, changes, context),
        },
      ],
      impossible: { safetensors: others, gguf: others },
    };
  }
  if (isGguf(path)) {
    const others = 'the weights of a GGUF file stay in their own packing.';
    return {
      model,
      path,
      files: model.files,
      folder: dirname(path),
      // The file holds its tokenizer and settings itself.
      sideFiles: () => Promise.resolve({ files: [], folders: [], leftBehind: [] }),
      forms: ggufForms(model, await readGgufHeader(path)),
      impossible: { safetensors: others, onnx: others },
    };
  }
  const { weights, config } = await locateModel(modelPath);
  const checkpoint = await openSafetensors(weights);
  const parts = { model, checkpoint, configText: await readFile(config, 'utf8') };
  return {
    model,
    path,
    files: checkpoint.files,
    folder: path,
    sideFiles: async () => findSideFiles(path),
    forms: folderForms(parts, config),
    impossible: {
      gguf: 'GGUF files are made from GGUF files alone. Convert the folder with convert_hf_to_gguf.py of llama.cpp, then prune the file.',
    },
  };
}

/** The layouts of a Hugging Face folder, and ONNX. */
function folderForms(source: CheckpointSource, configFile: string): OutputForm[] {
  const { model, configText } = source;
  const whyNotConfig = ({ blocks }: Changes): Refusal | undefined => {
    const refusal = whyNotRewritable(configText, blocks);
    return refusal === undefined ? undefined : { ...refusal, file: configFile };
  };
  const isDeci = model.summary.architecture === 'nemotron-nas';
  const usual = (changes: Changes): LayoutName =>
    isDeci ? 'deci' : needsModule(changes) ? 'auto-map' : 'blocks';
  return [
    ...layoutNames.map((name): OutputForm => ({
      format: 'safetensors',
      layout: name,
      isDefault: (changes) => usual(changes) === name,
      refuse: (changes) =>
        Promise.resolve(
          isDeci && name !== 'deci'
            ? { problem: 'A nemotron-nas model is written as one again.', remedy: 'Choose deci.' }
            : (layouts[name].refuse(source, changes) ??
                whyNotStored(model, changes) ??
                whyNotConfig(changes)),
        ),
      create: (changes, options, context) =>
        Promise.resolve(safetensorsWriter(source, layouts[name], changes, options, context)),
    })),
    {
      format: 'onnx',
      isDefault: () => true,
      refuse: (changes) => Promise.resolve(whyNotConfig(changes)),
      create: (changes, _, context) => Promise.resolve(toOnnx(source, changes, context)),
    },
  ];
}

function toOnnx(source: CheckpointSource, changes: Changes, context: JobContext): WeightWriter {
  const { model } = source;
  const changed = withChanges(model, changes);
  if (changed instanceof EncoderModel) {
    return encoderOnnxWriter(source, changed, changes, context);
  }
  if (changed.emitter === undefined) {
    throw new Error('a decoder in safetensors emits itself');
  }
  return onnxWriter(source, changed.emitter, changes, context);
}

/**
 * Every form that a model can be written in without `remove`, with the linear layers `compress` in other
 * forms and with patches in the places of `patch`, and why it cannot where it cannot.
 * @throws UserError where the model cannot be opened, or lacks one of the sublayers.
 */
export async function listForms(
  modelPath: string,
  remove: readonly string[],
  { compress = [], patch = [] }: { compress?: readonly string[]; patch?: readonly string[] } = {},
): Promise<FormAnswer[]> {
  const source = await openSource(modelPath);
  const { summary } = source.model;
  const units = new RemovableUnits(summary);
  const ids = resolveIds(summary, remove, { field: 'remove' }).map((unit) => units.idOf(unit));
  const chosen = matricesOf(source.model).filter(({ id }) => compress.includes(id));
  const matrices = matrixChanges(source.model, standIns(chosen));
  return explainForms(source, checkChanges(summary, ids, matrices, patchesStandingIn(patch)));
}

/**
 * Refuses what could not be written, so that nobody waits for a search in vain: the form is asked
 * about the last block, or that part of it which the search may remove.
 * @throws UserError with the remedy.
 */
export async function requireWritable(
  modelPath: string,
  asked: Partial<FormName>,
  granularity: SearchSettings['granularity'],
): Promise<void> {
  const source = await openSource(modelPath);
  const { summary } = source.model;
  const candidates = listCandidates(summary, granularity);
  // A search of all sublayers removes attention first, as a rule.
  const attention = candidates.filter(
    ({ id }) => granularity === 'sublayer' && id.endsWith('.attention'),
  );
  const example = attention.at(-1) ?? candidates.at(-1);
  const changes = layOutChanges(summary, example === undefined ? [] : idsOf(summary, example));
  await chooseForm(source, changes, asked);
}

/**
 * A remark on what a search may come to that cannot be written, with the remedy: candidates that the
 * form refuses to lose alone. Undefined where all can go.
 */
export async function foreseeRefusals(
  modelPath: string,
  asked: Partial<FormName>,
  { granularity, protect }: Pick<SearchSettings, 'granularity' | 'protect'>,
): Promise<string | undefined> {
  const source = await openSource(modelPath);
  const { summary } = source.model;
  const kept = new Set(resolveIds(summary, protect, { field: 'protect' }));
  const candidates = listCandidates(summary, granularity).filter(
    ({ members }) => !members.some((unit) => kept.has(unit)),
  );
  const remarks: string[] = [];
  for (const candidate of candidates) {
    const refusal = await refusalOf(source, asked, idsOf(summary, candidate));
    if (refusal !== undefined) {
      remarks.push(`${refusal.problem} ${refusal.remedy}`);
    }
  }
  // The first and the last are of different kinds where there are several.
  const found = new Set([...remarks.slice(0, 1), ...remarks.slice(-1)]);
  return remarks.length === 0
    ? undefined
    : `The search may come to what cannot be written (${remarks.length} of ${candidates.length} candidates, alone): ${[...found].join(' ')}`;
}

/** How many of the ids, from the first on, can go together, and why not all of them. */
export async function writablePrefix(
  modelPath: string,
  asked: Partial<FormName>,
  ids: readonly string[],
): Promise<{ readonly count: number; readonly refusal: Refusal | undefined }> {
  const source = await openSource(modelPath);
  const refusal = await refusalOf(source, asked, ids);
  for (let count = refusal === undefined ? ids.length : ids.length - 1; count > 0; count--) {
    if ((await refusalOf(source, asked, ids.slice(0, count))) === undefined) {
      return { count, refusal };
    }
  }
  return { count: 0, refusal };
}

async function refusalOf(
  source: PruneSource,
  asked: Partial<FormName>,
  ids: readonly string[],
): Promise<Refusal | undefined> {
  const { summary } = source.model;
  const changes = layOutChanges(
    summary,
    ids.flatMap((id) => unitsMeant(id, summary)),
  );
  return findForm(source, changes, asked).refuse(changes);
}

function idsOf(summary: ModelSummary, { members }: Candidate): string[] {
  const units = new RemovableUnits(summary);
  return members.map((unit) => units.idOf(unit));
}
