import { basename, join } from 'node:path';
import type { GgufHeader } from '../checkpoints/gguf';
import type { JobContext } from '../jobs/job';
import { requireGgufBlocks } from '../models/gguf-model';
import type { LayeredModel } from '../models/layered-model';
import { UserError } from '../user-error';
import { deciArchitecture, deciLayout, whyNotGgufDeci } from './gguf-deci';
import { planGguf, writeGguf } from './gguf-writer';
import type { OutputForm } from './output-forms';
import { describeGgufLoading } from './preview-file';
import { whyTorn } from './changes';
import type { Changes, Refusal } from './changes';
import { writtenLogits } from './verify';
import type { VerificationOptions } from './verify';
import { parametersAfter, planTensors } from './weight-plan';
import type { WeightWriter } from './weight-writers';

/** The forms of a GGUF file: whole blocks out of any, single sublayers out of llama-shaped ones. */
export function ggufForms(model: LayeredModel, header: GgufHeader): OutputForm[] {
  const { summary } = model;
  const isDeci = header.metadata.get('general.architecture') === deciArchitecture;
  const takesDeci = (changes: Changes): boolean =>
    isDeci || (summary.architecture === 'llama' && changes.absent.length > 0);
  return [
    {
      format: 'gguf',
      layout: 'blocks',
      isDefault: (changes) => !takesDeci(changes),
      refuse: async (changes) => {
        if (isDeci) {
          return { problem: 'A deci model is written as one again.', remedy: 'Choose deci.' };
        }
        return (
          whyNoForms(changes) ?? whyTorn(summary, changes) ?? (await whyOtherTurns(header, changes))
        );
      },
      create: async (changes, options, context) =>
        ggufWriter(model, header, { changes, isDeci: false }, options, context),
    },
    {
      format: 'gguf',
      layout: 'deci',
      isDefault: takesDeci,
      refuse: (changes) => Promise.resolve(whyNoForms(changes) ?? whyNotGgufDeci(summary, changes)),
      create: async (changes, options, context) =>
        ggufWriter(model, header, { changes, isDeci: true }, options, context),
    },
  ];
}

function whyNoForms({ matrices, patches }: Changes): Refusal | undefined {
  if (patches.size > 0) {
    return {
      problem: 'llama.cpp has no symbolic patches.',
      remedy: 'Patch the Hugging Face folder of the model.',
    };
  }
  return matrices.size === 0
    ? undefined
    : {
        problem: 'llama.cpp has no matrices in forms that Espalier compresses them into.',
        remedy:
          'Compress the Hugging Face folder of the model: as auto-map, dense or ONNX. convert_hf_to_gguf.py of llama.cpp turns a dense one into GGUF.',
      };
}

async function whyOtherTurns(
  header: GgufHeader,
  changes: Changes,
): Promise<ReturnType<typeof whyTorn>> {
  try {
    await requireGgufBlocks(header, changes.blocks);
    return undefined;
  } catch (error) {
    if (error instanceof UserError) {
      const { field, remedy = '' } = error.subject;
      return { problem: error.problem, remedy, ...(field === undefined ? {} : { field }) };
    }
    throw error;
  }
}

/** A GGUF file under its own name. */
async function ggufWriter(
  model: LayeredModel,
  header: GgufHeader,
  { changes, isDeci }: { readonly changes: Changes; readonly isDeci: boolean },
  options: VerificationOptions,
  context: JobContext,
): Promise<WeightWriter> {
  const tensors = new Map(header.tensors.map((tensor) => [tensor.name, tensor]));
  const checkpoint = { tensors, files: [header.file], entry: header.file, metadata: {} };
  const kept = planTensors(model, checkpoint, changes);
  const layout = isDeci ? await deciLayout(header, changes) : { blocks: changes.blocks };
  const plan = await planGguf(header, layout, kept);
  const name = basename(header.file);
  return {
    bytes: plan.bytes,
    parameters: parametersAfter(model, changes),
    layout: isDeci ? 'deci' : 'blocks',
    loadsWith: describeGgufLoading(name, changes, isDeci),
    texts: {},
    write: async (folder, copier) => {
      await writeGguf(join(folder, name), plan, copier);
      return [name];
    },
    output: async (folder, input) => writtenLogits(join(folder, name), input, options, context),
  };
}
