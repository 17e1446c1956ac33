import * as v from 'valibot';
import { writeDocument } from '../../jobs/write-document';
import type { MatrixEncoding, MpoForm } from '../../models/matrix-encoding';
import type { DeviceName } from '../../runtime/device';
import { deviceNames } from '../../runtime/device';
import { machineName } from '../../runtime/speed/machine-name';
import { fitRates, millisecondsOf } from './fit-rates';
import type { Sample } from './fit-rates';
import { worksOf } from './kernels';
import type { KernelName } from './kernels';
import { measureCosts } from './measure-costs';
import { counted, inEnglish } from '../../message';
import { parseJsonText } from '../../parse-json';
import { readSmallText } from '../../regular-file';

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
  /** What the times hold for: they are measured again where any of it has changed. */
  machine: v.string(),
  measured: v.string(),
  /** Milliseconds by what a kernel does. */
  rates: v.strictObject({
    dense: ratesSchema,
    int8: ratesSchema,
    'blocks-8': ratesSchema,
    'blocks-4': ratesSchema,
    chain: ratesSchema,
  } satisfies Record<KernelName, unknown>),
});

/** What products cost on this machine, measured once: a file in the user's cache. */
export type MachineCosts = v.InferOutput<typeof costsSchema>;

/** How the costs of a machine are got. */
export interface CostsRequest {
  readonly device: DeviceName;
  /** Where they are kept. */
  readonly file: string;
  /** Whether to measure again though they are known. */
  readonly again?: boolean;
  /** Awaited after each of the measurements, which take some seconds together; may throw to stop. */
  readonly afterGraph?: (done: number, total: number) => Promise<void>;
}

/**
 * The costs of this machine, from their file or measured now.
 * @throws UserError where the file cannot be written.
 */
export async function machineCosts(request: CostsRequest): Promise<MachineCosts> {
  const { device, file, again = false, afterGraph } = request;
  const known = again ? undefined : await readCosts(file);
  if (known?.machine === machineName() && known.device === device) {
    return known;
  }
  const costs = costsOf(device, await measureCosts(device, afterGraph));
  await writeDocument(file, costs);
  return costs;
}

/** Fits the costs to what was measured. */
export function costsOf(device: DeviceName, samples: readonly Sample[]): MachineCosts {
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
    // Absent, or of an older version: measured anew.
    return undefined;
  }
}

interface Shaped {
  readonly shape: readonly number[];
}

/** What a form is expected to take on `rows` rows of inputs. */
export function predictMilliseconds(
  { rates }: MachineCosts,
  form: MatrixEncoding<Shaped>,
  rows: number,
): number {
  return worksOf(form, rows).reduce(
    (sum, work) => sum + millisecondsOf(rates[work.kernel], work),
    0,
  );
}

/** How an MPO is to run on so many rows, and what both ways are expected to take. */
export const mpoRunChoiceSchema = v.object({
  run: v.picklist(['contracted', 'chained']),
  rows: v.number(),
  milliseconds: v.object({ contracted: v.number(), chained: v.number() }),
});
export type MpoRunChoice = v.InferOutput<typeof mpoRunChoiceSchema>;

/** The faster way to run an MPO on `rows` rows: multiplied out to a matrix, or site by site. */
export function chooseMpoRun(
  costs: MachineCosts,
  form: MpoForm<Shaped>,
  rows: number,
): MpoRunChoice {
  const predict = (run: MpoForm['run']): number =>
    predictMilliseconds(costs, { ...form, run }, rows);
  const milliseconds = { contracted: predict('contracted'), chained: predict('chained') };
  const run = milliseconds.chained < milliseconds.contracted ? 'chained' : 'contracted';
  return { run, rows, milliseconds };
}

/** The choice in words. */
export function explainMpoRun({ run, rows, milliseconds }: MpoRunChoice): string {
  const [contracted, chained] = [milliseconds.contracted, milliseconds.chained].map((time) =>
    time.toPrecision(2),
  );
  const at = inEnglish(counted(rows, 'row'));
  return run === 'chained'
    ? `Chained: ${chained} ms for ${at} site by site, ${contracted} ms as a matrix.`
    : `Contracted when loaded: ${contracted} ms for ${at} as a matrix, ${chained} ms site by site.`;
}
