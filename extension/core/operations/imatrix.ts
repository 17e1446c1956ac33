import { basename, join, resolve } from 'node:path';
import * as v from 'valibot';
import { defaultCalibration } from '../data/calibration-defaults';
import { loadModelInputs } from '../data/model-inputs';
import { inputSums } from '../export/gguf/input-sums';
import { writeImportance } from '../export/gguf/importance';
import { resumable } from '../jobs/saved-parts';
import { requireAble } from '../models/capability';
import { say } from '../message';
import { calibrationPassWork } from './text-work';
import { resolveDevice } from '../runtime/devices';
import { integer, newFile } from './fields';
import { operationJournal } from './journals';
import { defineOperation } from './operation';
import {
  calibrationFields,
  requestedCalibration,
  calibrationRules,
  modelField,
  runFields,
  runOptions,
} from './shared-fields';
import { formatCount } from '../format';

/** Contents of an importance matrix. */
interface ImatrixResult {
  readonly path: string;
  readonly matrices: number;
  readonly tokens: number;
}

const journal = operationJournal('imatrix');

export const imatrix = defineOperation({
  id: 'imatrix',
  title: 'Compute Importance Matrix',
  verb: 'Reading inputs of',
  summary: 'Write an importance matrix for GGUF quantization (llama.cpp), measured on a text.',
  group: 'shrink',
  fields: {
    model: modelField,
    out: newFile('importance', {
      description: 'New file to write (.gguf)',
      placeholder: 'FILE',
      required: true,
    }),
    ...calibrationFields(defaultCalibration),
    seed: integer({ description: 'Seed of random inputs', default: 0, min: 0 }),
    ...runFields,
  },
  rules: calibrationRules,
  result: v.looseObject({ path: v.string(), matrices: v.number(), tokens: v.number() }),
  trust: 'write',
  requires: () => ({ model: 'calibration' }),
  resume: ({ out, model }) => journal.walkFiles(out, model),
  work: async (request, { open }) => calibrationPassWork(request, await open(request.model)),
  run: async (request, context): Promise<ImatrixResult> => {
    const { open, samples, version } = context.environment;
    const { device, memoryBytes } = runOptions(request);
    const out = resolve(request.out);
    const model = await open(request.model);
    requireAble(model.capabilities.run, model.path);
    const calibration = requestedCalibration(
      request,
      defaultCalibration,
      model.summary.maxPositions,
    );
    const bundledText = join(samples, 'calibration.txt');
    const { inputs, summary, warnings } = await loadModelInputs(
      calibration,
      model.model,
      bundledText,
      request.seed,
    );
    warnings.forEach(context.warn.bind(context));
    const options = {
      device: await resolveDevice(device, context.warn.bind(context)),
      memoryBytes,
    };
    const place = async (): Promise<string> => journal.prepare(request.out, model.path);
    const sums = await resumable({ place, out, version }, context, async (saved) => {
      await saved.bind([model.summary.fingerprint, summary.fingerprint]);
      const found = await inputSums(model, inputs, options, context, saved);
      const { sequences, length } = calibration;
      const source = { texts: [basename(summary.source)], sequences, length };
      await writeImportance(out, found, source, context);
      return found;
    });
    const counts = [...sums.values()].flatMap((one) => one.counts);
    return { path: out, matrices: sums.size, tokens: Math.max(0, ...counts) };
  },
  presentation: {
    opens: 'folder',
    outcome: ({ path: file, tokens }) => ({
      summary: say`Wrote ${basename(file)}, measured on ${say`${formatCount(tokens)} tokens`}.`,
      shown: true,
    }),
  },
});
