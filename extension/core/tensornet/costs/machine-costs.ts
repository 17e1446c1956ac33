import * as v from 'valibot';
import { writeDocument } from '../../jobs/write-document';
import type { MatrixEncoding, MpoEncoding } from '../../models/matrix-encoding';
import type { DeviceName } from '../../runtime/device';
import { deviceNames } from '../../runtime/device';
import { machineName } from '../../runtime/speed/work-rates';
import { encodingWork, fitRates, predictTime } from './kernels';
import type { KernelName, Sample } from './kernels';
import { measureCosts } from './measure-costs';
import { counted, inEnglish, say } from '../../message';
import { parseJsonText } from '../../parse-json';
import { readSmallText } from '../../regular-file';
import { join } from 'node:path';
import { checkpoint } from '../../jobs/job';
import type { JobContext } from '../../jobs/job';
import { makeFolder } from '../../jobs/work-folder';

const rate = v.pipe(v.number(), v.minValue(0));
const ratesSchema = v.strictObject({
  perCall: rate,
  perByte: rate,
  perMac: rate,
  perMoved: rate,
});
export const costsSchema = v.strictObject({
  format: v.literal('espalier.machinecosts'),
  version: v.literal(2),
  device: v.picklist(deviceNames),
  /** Identifies the machine and software; times are measured again if it changes. */
  machine: v.string(),
  measured: v.string(),
  /** Milliseconds per unit of work, by kernel. */
  rates: v.strictObject({
    dense: ratesSchema,
    int8: ratesSchema,
    'blocks-8': ratesSchema,
    'blocks-4': ratesSchema,
    chain: ratesSchema,
  } satisfies Record<KernelName, unknown>),
});

/** Costs of matmuls on this machine, measured once and stored in the user's cache. */
export type MachineCosts = v.InferOutput<typeof costsSchema>;

/** Request for the costs of a machine. */
export interface CostsRequest {
  readonly device: DeviceName;
  /** File that stores them. */
  readonly file: string;
  /** True to measure again even if they are known. */
  readonly again?: boolean;
  /** Awaited after each measurement, which take some seconds together; may throw to stop. */
  readonly afterGraph?: (done: number, total: number) => Promise<void>;
}

/**
 * Costs of this machine, from their file or measured now.
 * @throws UserError if the file isn't writable
 */
export async function machineCosts(request: CostsRequest): Promise<MachineCosts> {
  const { device, file, again = false, afterGraph } = request;
  const known = again ? undefined : await readCosts(file);
  if (known?.machine === machineName() && known.device === device) {
    return known;
  }
  const costs = fitCosts(device, await measureCosts(device, afterGraph));
  await writeDocument(file, costs);
  return costs;
}

/** Fits the costs to measured samples. */
export function fitCosts(device: DeviceName, samples: readonly Sample[]): MachineCosts {
  const of = (kernel: KernelName): v.InferOutput<typeof ratesSchema> =>
    fitRates(samples.filter((sample) => sample.kernel === kernel));
  return {
    format: 'espalier.machinecosts',
    version: 2,
    device,
    machine: machineName(),
    measured: new Date().toISOString(),
    rates: {
      dense: of('dense'),
      int8: of('int8'),
      'blocks-8': of('blocks-8'),
      'blocks-4': of('blocks-4'),
      chain: of('chain'),
    },
  };
}

async function readCosts(file: string): Promise<MachineCosts | undefined> {
  try {
    return v.parse(costsSchema, parseJsonText(await readSmallText(file)));
  } catch {
    // Missing, or from an older version: measure again.
    return undefined;
  }
}

interface Shaped {
  readonly shape: readonly number[];
}

/** Predicted milliseconds of an encoding for `rows` input rows. */
export function predictMilliseconds(
  { rates }: MachineCosts,
  form: MatrixEncoding<Shaped>,
  rows: number,
): number {
  return encodingWork(form, rows).reduce(
    (sum, work) => sum + predictTime(rates[work.kernel], work),
    0,
  );
}

/** Execution of an MPO for a number of rows, with the predicted times of both ways. */
export const mpoRunChoiceSchema = v.object({
  run: v.picklist(['contracted', 'chained']),
  rows: v.number(),
  milliseconds: v.object({ contracted: v.number(), chained: v.number() }),
});
export type MpoRunChoice = v.InferOutput<typeof mpoRunChoiceSchema>;

/** Faster execution of an MPO for `rows` rows: contracted to a matrix, or site by site. */
export function chooseMpoRun(
  costs: MachineCosts,
  form: MpoEncoding<Shaped>,
  rows: number,
): MpoRunChoice {
  const predict = (run: MpoEncoding['run']): number =>
    predictMilliseconds(costs, { ...form, run }, rows);
  const milliseconds = { contracted: predict('contracted'), chained: predict('chained') };
  const run = milliseconds.chained < milliseconds.contracted ? 'chained' : 'contracted';
  return { run, rows, milliseconds };
}

/** Explains the choice in words. */
export function explainMpoRun({ run, rows, milliseconds }: MpoRunChoice): string {
  const [contracted, chained] = [milliseconds.contracted, milliseconds.chained].map((time) =>
    time.toPrecision(2),
  );
  const at = inEnglish(counted(rows, 'row'));
  return run === 'chained'
    ? `Chained: ${chained} ms for ${at} site by site, ${contracted} ms as a matrix.`
    : `Contracted when loaded: ${contracted} ms for ${at} as a matrix, ${chained} ms site by site.`;
}

/**
 * Costs of this machine, from a folder with one file per device. Measures them if they aren't known, or if `again` is
 * set.
 * @throws UserError if the folder isn't writable
 */
export async function costsInFolder(
  folder: string,
  device: DeviceName,
  context: Pick<JobContext, 'cancellation' | 'progress'>,
  again = false,
): Promise<MachineCosts> {
  await makeFolder(folder, say`Move your user's cache folder, or make it writable.`);
  return machineCosts({
    device,
    file: join(folder, `${device}.json`),
    again,
    afterGraph: async (done, total) => {
      context.progress({
        stage: say`Timing matmuls on this machine`,
        done,
        total,
        unit: 'steps',
      });
      await checkpoint(context.cancellation);
    },
  });
}
