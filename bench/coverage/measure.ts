// Tries what test/fixtures/tiny_models.py made: inspect, output against transformers, one removal, re-open.
//     node measure.cjs FOLDER ...
// prints a JSON line for each folder, and leaves FOLDER-pruned without block 1 and FOLDER-single-pruned without an attention
// sublayer and an MLP, with our own outputs of them in FOLDER-pruned.logits and FOLDER-single-pruned.logits.
import { existsSync } from 'node:fs';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { unattended } from '../../extension/core/jobs/job';
import { openModelFiles } from '../../extension/core/models/open-model';
import { writeModel } from '../../extension/core/pipelines/write-model';
import { errorBetween, limits, runModel, readGolden, errorReason } from '../lib/golden';

/** The first step that failed and why, or the relative error of the output. */
interface Row {
  readonly folder: string;
  readonly failed?: 'make' | 'inspect' | 'run' | 'output' | 'remove';
  readonly reason?: string;
  readonly error?: number;
  /** Why single sublayers cannot be removed in this format. */
  readonly single?: string;
}

const tolerance = 1e-4;

const blockIds = (ids: readonly string[], prefix: string): string[] =>
  ids.filter((id) => id.startsWith(prefix));

async function measure(folder: string): Promise<Row> {
  const failure = join(folder, 'failure.txt');
  if (existsSync(failure)) {
    const reason = (await readFile(failure, 'utf8')).trim();
    return { folder, failed: 'make', reason };
  }
  const { inputs, output: expected } = await readGolden(join(folder, 'golden.json'));
  let failed: Row['failed'] = 'inspect';
  try {
    const opened = await openModelFiles(folder);
    failed = 'run';
    const output = await runModel(folder, inputs);
    failed = 'output';
    const error = errorBetween(output, expected);
    if (!(error <= tolerance)) {
      return { folder, failed, reason: `differs by ${error.toExponential(1)}`, error };
    }
    failed = 'remove';
    const { sublayers } = opened.summary;
    const write = async (out: string, removed: readonly string[]): Promise<undefined> => {
      await rm(out, { recursive: true, force: true });
      await writeModel({ model: opened, removed, out, overwrite: true, ...limits }, unattended);
      await writeFile(`${out}.logits`, await runModel(out, inputs));
    };
    const ids = sublayers.map(({ id }) => id);
    await write(`${folder}-pruned`, blockIds(ids, 'block.1.'));
    const [first = '', last = ''] = [ids[0], ids.at(-1)];
    const single = await write(`${folder}-single-pruned`, [first, last]).catch(errorReason);
    return { folder, error, ...(single === undefined ? {} : { single }) };
  } catch (error) {
    return {
      folder,
      failed,
      reason: errorReason(error)
        .replaceAll(folder, '')
        .replace(/^[/:] ?/, ''),
    };
  }
}

async function main(folders: readonly string[]): Promise<void> {
  for (const folder of folders) {
    process.stdout.write(`${JSON.stringify(await measure(folder))}\n`);
  }
}

void main(process.argv.slice(2));
