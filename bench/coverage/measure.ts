// Tries what test/fixtures/tiny_models.py made: inspect, output against transformers, one removal, re-open.
//     node measure.cjs FOLDER ...
// prints a JSON line for each folder, and leaves FOLDER-pruned without block 1 and FOLDER-single-pruned without an attention
// sublayer and a feed-forward, with our own outputs of them in FOLDER-pruned.logits and FOLDER-single-pruned.logits.
import { existsSync } from 'node:fs';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { unattended } from '../../extension/core/jobs/job';
import type { ExampleValue, ModelInput } from '../../extension/core/models/model-input';
import { openModel, openModelFiles } from '../../extension/core/models/open-model';
import { writeModel } from '../../extension/core/pipelines/write-model';
import { LayeredExecutor } from '../../extension/core/runtime/layered-executor';

interface Floats {
  readonly file: string;
  readonly shape: readonly number[];
}

interface Golden {
  readonly output: Floats;
  readonly input_ids?: readonly (readonly number[])[];
  readonly pixel_values?: Floats;
}

/** The first step that failed and why, or the relative error of the output. */
interface Row {
  readonly folder: string;
  readonly failed?: 'make' | 'inspect' | 'run' | 'output' | 'remove';
  readonly reason?: string;
  readonly error?: number;
  /** Why single sublayers cannot be removed in this format. */
  readonly single?: string;
}

const run = { device: 'cpu', memoryBytes: 2 ** 30 } as const;
const tolerance = 1e-4;

async function floatsOf(folder: string, { file }: Floats): Promise<Float32Array> {
  const bytes = await readFile(join(folder, file));
  return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
}

async function inputsOf(folder: string, golden: Golden): Promise<ModelInput[]> {
  const { pixel_values: pixels } = golden;
  if (pixels === undefined) {
    return (golden.input_ids ?? []).map((ids) => Int32Array.from(ids));
  }
  const all = await floatsOf(folder, pixels);
  const [batch = 1, ...rest] = pixels.shape;
  const size = all.length / batch;
  return Array.from({ length: batch }, (_, row) => ({
    pixel_values: {
      dtype: 'F32',
      dims: [1, ...rest],
      data: all.slice(row * size, (row + 1) * size),
    },
  }));
}

/** A text as source and target of an encoder–decoder model. */
function bothOf(ids: Int32Array): ModelInput {
  const value = (data: BigInt64Array): ExampleValue => ({
    dtype: 'I64',
    dims: [1, ids.length],
    data,
  });
  const tokens = value(BigInt64Array.from(ids, BigInt));
  const attended = value(new BigInt64Array(ids.length).fill(1n));
  return { input_ids: tokens, attention_mask: attended, decoder_input_ids: tokens };
}

/** Outputs of all inputs, one after the other. */
async function outputOf(path: string, inputs: readonly ModelInput[]): Promise<Float32Array> {
  const model = await openModel(path);
  const executor = new LayeredExecutor(model, run.device, run.memoryBytes);
  try {
    const outputs: Float32Array[] = [];
    for (const input of inputs) {
      let state = await executor.embed(
        model.targetStart !== undefined && input instanceof Int32Array ? bothOf(input) : input,
      );
      for (const index of model.summary.sublayers.keys()) {
        [state = state] = await executor.run(index, [state]);
      }
      outputs.push(await executor.logits(state));
    }
    return Float32Array.from(outputs.flatMap((output) => [...output]));
  } finally {
    await executor.dispose();
  }
}

function errorBetween(actual: Float32Array, expected: Float32Array): number {
  if (actual.length !== expected.length) {
    return Number.POSITIVE_INFINITY;
  }
  let [difference, scale] = [0, 0];
  for (const [i, value] of expected.entries()) {
    difference = Math.max(difference, Math.abs((actual[i] ?? Number.NaN) - value));
    scale = Math.max(scale, Math.abs(value));
  }
  return difference / scale;
}

const idsOf = (ids: readonly string[], prefix: string): string[] =>
  ids.filter((id) => id.startsWith(prefix));

const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : 'unknown');

async function measure(folder: string): Promise<Row> {
  const failure = join(folder, 'failure.txt');
  if (existsSync(failure)) {
    const reason = (await readFile(failure, 'utf8')).trim();
    return { folder, failed: 'make', reason };
  }
  const golden = JSON.parse(await readFile(join(folder, 'golden.json'), 'utf8')) as Golden;
  let failed: Row['failed'] = 'inspect';
  try {
    const opened = await openModelFiles(folder);
    failed = 'run';
    const inputs = await inputsOf(folder, golden);
    const output = await outputOf(folder, inputs);
    failed = 'output';
    const error = errorBetween(output, await floatsOf(folder, golden.output));
    if (!(error <= tolerance)) {
      return { folder, failed, reason: `differs by ${error.toExponential(1)}`, error };
    }
    failed = 'remove';
    const { sublayers } = opened.summary;
    const write = async (out: string, removed: readonly string[]): Promise<undefined> => {
      await rm(out, { recursive: true, force: true });
      await writeModel({ model: opened, removed, out, overwrite: true, ...run }, unattended);
      await writeFile(`${out}.logits`, await outputOf(out, inputs));
    };
    const ids = sublayers.map(({ id }) => id);
    await write(`${folder}-pruned`, idsOf(ids, 'block.1.'));
    const [first = '', last = ''] = [ids[0], ids.at(-1)];
    const single = await write(`${folder}-single-pruned`, [first, last]).catch(reasonOf);
    return { folder, error, ...(single === undefined ? {} : { single }) };
  } catch (error) {
    return {
      folder,
      failed,
      reason: reasonOf(error)
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
