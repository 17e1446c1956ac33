import { basename, join } from 'node:path';
import type { JobContext } from '../../jobs/job';
import type { Refusal } from '../../models/capability';
import { ggufTarget } from '../../models/gguf/gguf-model';
import { readArchitecture } from '../../models/open-model';
import { UserError } from '../../user-error';
import { whyTorn } from '../changes';
import type { Changes } from '../changes';
import type { CheckpointSource } from '../hugging-face/checkpoint-source';
import type { OutputOption } from '../output-options';
import { describeGgufLoading } from '../preview-file';
import { writtenLogits } from '../verify';
import { parametersAfter, planTensors } from '../weight-plan';
import type { PlannedTensor } from '../weight-plan';
import type { WeightWriter, WriteOptions } from '../weight-writer';
import { chosenTypes, fileTypeOf, plainType, roundingOf } from './choose-types';
import type { TypedTensor } from './choose-types';
import { frequencyTensors, modelEntries, whyNotComputed } from './folder-header';
import type { FolderModel } from './folder-header';
import { needsDeci, whyNotGgufDeci } from './gguf-deci';
import { whyNotHeld } from './gguf-options';
import { whyOtherWidths } from './gguf-sizes';
import { converted } from './gguf-tensors';
import type { Numbers } from './gguf-tensors';
import { layOutGguf, writeGguf } from './gguf-writer';
import { tokenizerEntries } from './tokenizer-entries';
import { say } from '../../message';

const defaultAlignment = 32;
const version = 3;

/** A GGUF file of a Hugging Face folder's model: without whole blocks any, without single sublayers as `deci`. */
export function folderGgufOptions(source: CheckpointSource, configFile: string): OutputOption[] {
  const { summary } = source.model;
  const takesDeci = (changes: Changes): boolean =>
    changes.absent.length > 0 || (summary.architecture === 'llama' && needsDeci(changes));
  const as = (layout: 'blocks' | 'deci'): OutputOption => ({
    ...{ format: 'gguf', layout },
    isDefault: (changes) => (layout === 'deci') === takesDeci(changes),
    refuse: (changes) =>
      Promise.resolve(
        whyNotHeld(changes) ??
          whyNotFamily(source, configFile, changes) ??
          (layout === 'deci'
            ? whyNotGgufDeci(summary, changes)
            : (whyTorn(summary, changes) ??
              whyOtherWidths(summary, folderModel(source, configFile)?.target.family, changes))),
      ),
    writer: async (changes, options, context) =>
      folderWriter(source, configFile, { changes, layout }, options, context),
  });
  return [as('blocks'), as('deci')];
}

function whyNotFamily(
  source: CheckpointSource,
  configFile: string,
  changes: Changes,
): Refusal | undefined {
  const { architecture, quantization } = source.model.summary;
  if (quantization !== undefined) {
    return {
      code: 'not-in-gguf',
      reason: say`Weights that are quantized in the folder can't be written to a GGUF file.`,
      remedy: say`Use the folder of the original model.`,
    };
  }
  const model = folderModel(source, configFile);
  return model === undefined
    ? {
        code: 'not-in-gguf',
        reason: say`${architecture} models can't be written to GGUF files.`,
        remedy: say`Convert the folder with convert_hf_to_gguf.py of llama.cpp, then prune the file.`,
      }
    : whyNotComputed(model, changes);
}

function folderModel(
  { configText, model }: CheckpointSource,
  configFile: string,
): FolderModel | undefined {
  if (model.kind !== 'decoder') {
    return undefined;
  }
  const { architecture, config } = readArchitecture(configText, configFile);
  const target = ggufTarget(architecture);
  return target === undefined
    ? undefined
    : { name: model.summary.name, config, configFile, architecture, target };
}

async function folderWriter(
  source: CheckpointSource,
  configFile: string,
  { changes, layout }: { readonly changes: Changes; readonly layout: 'blocks' | 'deci' },
  options: WriteOptions,
  context: JobContext,
): Promise<WeightWriter> {
  const isDeci = layout === 'deci';
  const model = folderModel(source, configFile);
  if (model === undefined) {
    throw new Error('a refusal comes before');
  }
  const { summary } = source.model;
  const placed = planTensors(source.model, source.checkpoint, changes).flatMap((planned) =>
    place(planned, model),
  );
  const { config } = model;
  const facts = {
    blocks: changes.blocks.length,
    heads: config.num_attention_heads,
    keyValueHeads: config.num_key_value_heads ?? config.num_attention_heads,
  };
  const asked = options.types ?? {};
  const types = chosenTypes(placed, facts, asked, summary.path);
  const numbers = placed.map((tensor): Numbers & Placed => {
    const importance = asked.importance?.get(tensor.name);
    return {
      ...tensor,
      ...moves(model, tensor.part),
      ...{ tensor: tensor.stored, type: types.get(tensor.name) ?? plainType(tensor) },
      ...(importance === undefined ? {} : { importance }),
    };
  });
  const tensors = [
    ...frequencyTensors(model),
    ...numbers.map((tensor) => converted(tensor.name, tensor)),
  ];
  const [rows = config.vocab_size] =
    tensors.find(({ name }) => name === 'token_embd.weight')?.shape ?? [];
  const entries = [
    ...modelEntries(model, changes, isDeci, fileTypeOf(asked, placed)),
    ...(await tokenizerEntries(summary.path, rows)),
  ];
  const plan = layOutGguf(entries, tensors, { version, alignment: defaultAlignment });
  const name = `${basename(summary.path)}${asked.mix === undefined ? '' : `-${asked.mix}`}.gguf`;
  return {
    bytes: plan.bytes,
    parameters: parametersAfter(source.model, changes),
    layout,
    loadsWith: describeGgufLoading(name, changes, isDeci),
    texts: {},
    standsAlone: true,
    roundingError: Math.max(...numbers.map(({ stored, type }) => roundingOf(stored, type))),
    write: async (folder, copier) => {
      await writeGguf(join(folder, name), plan, copier);
      return [name];
    },
    output: async (folder, input) => writtenLogits(join(folder, name), input, options, context),
  };
}

interface Placed extends TypedTensor {
  readonly part: string;
}

/** A tensor under its name in the file; none for what the model does not read. */
function place(planned: PlannedTensor, { config, target }: FolderModel): Placed[] {
  const { tensor } = planned;
  const found = target.tensor(planned.name);
  if (found === undefined) {
    if (planned.name.endsWith('rotary_emb.inv_freq')) {
      return [];
    }
    throw new UserError(say`The tensor has no place in a GGUF file.`, {
      file: tensor.file,
      field: tensor.name,
      remedy: say`Choose another format.`,
    });
  }
  const isSecondCopy = found.part === 'output' && config.tie_word_embeddings;
  return isSecondCopy ? [] : [{ ...found, shape: tensor.shape, stored: tensor }];
}

/** How the numbers of a part differ in the file. */
function moves(
  { architecture, config, target }: FolderModel,
  part: string,
): Pick<Numbers, 'added' | 'order'> {
  if (architecture.norm === 'rms-offset' && part.endsWith('norm')) {
    return { added: 1 };
  }
  const heads =
    part === 'attn_q'
      ? config.num_attention_heads
      : part === 'attn_k'
        ? (config.num_key_value_heads ?? config.num_attention_heads)
        : undefined;
  if (heads === undefined || target.family.interleaved !== true) {
    return {};
  }
  const size = config.head_dim ?? config.hidden_size / config.num_attention_heads;
  return {
    // [heads, 2, half] → [heads, half, 2], as LlamaModel.permute of the conversion.
    order: (row) => {
      const within = row % size;
      return row - within + (within % 2) * (size / 2) + Math.floor(within / 2);
    },
  };
}
