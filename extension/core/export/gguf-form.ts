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
import { whyTorn } from './removal';
import type { Removal } from './removal';
import { writtenLogits } from './verify';
import type { VerificationOptions } from './verify';
import { parametersAfter, planTensors } from './weight-plan';
import type { WeightWriter } from './weight-writers';

/** The forms of a GGUF file: whole blocks out of any, single sublayers out of llama-shaped ones. */
export function ggufForms(model: LayeredModel, header: GgufHeader): OutputForm[] {
  const { summary } = model;
  const isDeci = header.metadata.get('general.architecture') === deciArchitecture;
  const takesDeci = (removal: Removal): boolean =>
    isDeci || (summary.architecture === 'llama' && removal.absent.length > 0);
  return [
    {
      format: 'gguf',
      dialect: 'blocks',
      isUsual: (removal) => !takesDeci(removal),
      refuse: async (removal) => {
        if (isDeci) {
          return { problem: 'A deci model is written as one again.', remedy: 'Choose deci.' };
        }
        return whyTorn(summary, removal) ?? (await whyOtherTurns(header, removal));
      },
      create: async (removal, options, context) =>
        ggufWriter(model, header, { removal, isDeci: false }, options, context),
    },
    {
      format: 'gguf',
      dialect: 'deci',
      isUsual: takesDeci,
      refuse: (removal) => Promise.resolve(whyNotGgufDeci(summary, removal)),
      create: async (removal, options, context) =>
        ggufWriter(model, header, { removal, isDeci: true }, options, context),
    },
  ];
}

async function whyOtherTurns(
  header: GgufHeader,
  removal: Removal,
): Promise<ReturnType<typeof whyTorn>> {
  try {
    await requireGgufBlocks(header, removal.blocks);
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
  { removal, isDeci }: { readonly removal: Removal; readonly isDeci: boolean },
  options: VerificationOptions,
  context: JobContext,
): Promise<WeightWriter> {
  const tensors = new Map(header.tensors.map((tensor) => [tensor.name, tensor]));
  const checkpoint = { tensors, files: [header.file], entry: header.file, metadata: {} };
  const kept = planTensors(model, checkpoint, removal);
  const layout = isDeci ? await deciLayout(header, removal) : { blocks: removal.blocks };
  const plan = await planGguf(header, layout, kept);
  const name = basename(header.file);
  return {
    bytes: plan.bytes,
    parameters: parametersAfter(model, removal),
    dialect: isDeci ? 'deci' : 'blocks',
    loadsWith: describeGgufLoading(name, removal, isDeci),
    texts: {},
    write: async (folder, copier) => {
      await writeGguf(join(folder, name), plan, copier);
      return [name];
    },
    output: async (folder, input) => writtenLogits(join(folder, name), input, options, context),
  };
}
