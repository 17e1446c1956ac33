// Opens models with golden outputs, runs them, and writes them without something in every way that they can be written.
//     node measure.cjs WORK SOURCE ...
// WORK is a folder for output; a SOURCE is a folder with a golden.json, or NAME.gguf next to NAME.json and NAME.bin.
// Prints a JSON line for each source.
import { readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import process from 'node:process';
import { readGgufHeader } from '../../extension/core/checkpoints/gguf';
import { checkChanges } from '../../extension/core/export/changes';
import { matrixChanges } from '../../extension/core/export/matrix-changes';
import type { OutputOption } from '../../extension/core/export/output-options';
import { writeSource } from '../../extension/core/export/write-source';
import { unattended } from '../../extension/core/jobs/job';
import type { EncoderArchitecture } from '../../extension/core/models/encoders/encoder-architecture';
import { openModelFiles } from '../../extension/core/models/open-model';
import type { AnyModel, OpenedModel } from '../../extension/core/models/opened-model';
import type { ModelSummary } from '../../extension/core/models/model-summary';
import { writeModel } from '../../extension/core/pipelines/write-model';
import { errorBetween, limits, runModel, readGolden, errorReason } from '../lib/golden';
import type { Golden } from '../lib/golden';

/**
 * Removed parts of a written model, and the error of the reopened result against the source without
 * them.
 */
export interface Written {
  /** Single sublayers where the target can express that, or else a block, or else nothing. */
  readonly without: 'sublayers' | 'block' | 'nothing';
  readonly error: number;
  /** Tolerance for formats that round or compute differently; 1e-4 if absent. */
  readonly tolerance?: number;
  /** The architecture of a GGUF file. */
  readonly as?: string;
}

/** Fields that distinguish families of one `model_type`, as declared. */
type Telling = Pick<EncoderArchitecture, 'matchingFields' | 'headClasses'>;

export interface Row extends Telling {
  readonly source: string;
  /** `model_type` as the families are declared, or the architecture of a GGUF file. */
  readonly family?: string;
  readonly kind?: AnyModel['kind'] | 'gguf';
  /** Error of the output against transformers. */
  readonly error?: number;
  /** By format and layout, if the format has several. */
  readonly written?: Readonly<Record<string, Written>>;
  readonly failure?: string;
}

async function readArchitecture(file: string): Promise<string> {
  const name = (await readGgufHeader(file)).metadata.get('general.architecture');
  return typeof name === 'string' ? name : '';
}

/** Possible removals, the most informative first: single sublayers, a block, nothing. */
function listCuts({ sublayers }: ModelSummary): [Written['without'], string[]][] {
  const ids = sublayers.map(({ id }) => id);
  const blocks = [...new Set(sublayers.map(({ block }) => block))].reverse();
  // // The last sublayer of the first block, and the first one after it.
  const second = sublayers.findIndex(({ block }) => block !== sublayers[0]?.block);
  const singles = second === -1 ? ids.slice(-1) : ids.slice(second - 1, second + 1);
  const isWhole = blocks.length === ids.length;
  const fewer = blocks.length === 1 ? [] : blocks;
  return [
    ...(isWhole ? [] : [['sublayers', singles] satisfies [Written['without'], string[]]]),
    ...fewer.map((block): [Written['without'], string[]] => [
      'block',
      sublayers.filter((one) => one.block === block).map(({ id }) => id),
    ]),
    ['nothing', []],
  ];
}

/** Writes a model in one way; undefined where it can't be written so. */
async function write(
  opened: OpenedModel,
  { format, layout, refuse }: OutputOption,
  out: string,
): Promise<{ readonly result: Written; readonly removed: readonly string[] } | undefined> {
  for (const [without, removed] of listCuts(opened.summary)) {
    if (removed.length === 0 ? format === opened.format : opened.summary.fixed !== undefined) {
      continue;
    }
    const none = matrixChanges(opened.model, new Map());
    const changes = checkChanges(opened.summary, removed, none, undefined);
    if ((await refuse(changes)) === undefined) {
      const target = { format, ...(layout === undefined ? {} : { layout }) };
      const { verification } = await writeModel(
        { model: opened, removed, out, overwrite: true, ...target, ...limits },
        unattended,
      );
      const { relativeError: error, tolerance } = verification;
      const bound = tolerance === 1e-4 ? {} : { tolerance };
      const file = (await readdir(out)).find((name) => name.endsWith('.gguf'));
      const as = file === undefined ? {} : { as: await readArchitecture(join(out, file)) };
      return { result: { without, error, ...bound, ...as }, removed };
    }
  }
  return undefined;
}

async function findFamily({
  family,
  headers,
  model,
  path,
}: OpenedModel): Promise<Pick<Row, 'family' | 'kind' | keyof Telling>> {
  if (headers.format === 'gguf') {
    return { family: await readArchitecture(path), kind: 'gguf' };
  }
  const { architecture } = model.summary;
  const tower = family.kind === 'decoder' ? family.architecture.textType : undefined;
  const { matchingFields, headClasses }: Telling =
    family.kind === 'encoder' ? family.architecture : {};
  return {
    ...{ family: tower ?? architecture, kind: model.kind },
    ...(matchingFields === undefined ? {} : { matchingFields }),
    ...(headClasses === undefined ? {} : { headClasses }),
  };
}

/** Results of a model and, if it was written as another family, of that result. */
async function measure(source: string, golden: Golden, work: string): Promise<Row[]> {
  const opened = await openModelFiles(source);
  const family = await findFamily(opened);
  const error = errorBetween(await runModel(source, golden.inputs), golden.output);
  const written: Record<string, Written> = {};
  const others: Row[] = [];
  for (const option of writeSource(opened).options) {
    const out = join(work, `${basename(source)}-written`);
    await rm(out, { recursive: true, force: true });
    const found = await write(opened, option, out);
    if (found !== undefined) {
      written[[option.format, option.layout].join(' ').trim()] = found.result;
      if (option.format === 'safetensors' && option.layout === 'deci' && dirname(source) !== work) {
        const output = await runModel(source, golden.inputs, found.removed);
        const deci = join(work, `${basename(source)} as deci`);
        await rename(out, deci);
        others.push(...(await measure(deci, { ...golden, output }, work)));
      }
    }
  }
  return [{ source, ...family, error, written }, ...others];
}

async function measureFile(source: string, work: string): Promise<Row[]> {
  try {
    const document = source.endsWith('.gguf')
      ? source.replace(/gguf$/, 'json')
      : join(source, 'golden.json');
    return await measure(source, await readGolden(document), work);
  } catch (error) {
    return [{ source, failure: errorReason(error) }];
  }
}

async function main(work: string, sources: readonly string[]): Promise<void> {
  for (const source of sources) {
    for (const row of await measureFile(source, work)) {
      process.stdout.write(`${JSON.stringify(row)}\n`);
    }
  }
}

void main(process.argv[2] ?? '', process.argv.slice(3));
