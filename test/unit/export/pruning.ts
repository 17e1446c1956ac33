import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import type { PruneResult } from '../../../extension/core/pipelines/prune-result';
import type { LayeredModel } from '../../../extension/core/models/layered-model';
import type { OpenedModel } from '../../../extension/core/models/opened-model';
import type { ModelFormat } from '../../../extension/core/models/model-headers';
import { writeModel } from '../../../extension/core/pipelines/write-model';
import type { WriteRequest } from '../../../extension/core/pipelines/write-model';
import { unattended } from '../../../extension/core/jobs/job';
import type { JobContext, StageProgress } from '../../../extension/core/jobs/job';
import { openModel, openModelFiles } from '../../../extension/core/models/open-model';
import { LayeredExecutor } from '../../../extension/core/runtime/layered-executor';
import { UserError } from '../../../extension/core/user-error';
import { inEnglish } from '../../../extension/core/message';
import type { Message } from '../../../extension/core/message';

const memoryBytes = 1 << 30;

/** Progress as it reads. */
type ToldProgress = Omit<StageProgress, 'stage'> & { readonly stage: string };

/** Context that writes down what a job reports. */
export class RecordedContext implements JobContext {
  public readonly cancellation = { isCancellationRequested: false };
  public readonly stages: ToldProgress[] = [];
  public readonly warnings: string[] = [];

  public constructor(
    private readonly onProgress: (progress: ToldProgress) => void = () => undefined,
  ) {}

  public progress(progress: StageProgress): void {
    const reported = { ...progress, stage: inEnglish(progress.stage) };
    this.stages.push(reported);
    this.onProgress(reported);
  }

  public emit(): void {
    throw new Error('writing has no partial results');
  }

  public inform(): void {
    // Tests of writing look at warnings alone.
  }

  public share(): void {
    throw new Error('writing is not shared');
  }

  public warn(message: Message): void {
    this.warnings.push(inEnglish(message));
  }
}

/** @param source a path, or what was opened there */
export async function prune(
  source: string | OpenedModel,
  removed: readonly string[],
  out: string,
  more: Partial<WriteRequest> = {},
  context: JobContext = unattended,
): Promise<PruneResult> {
  const format: ModelFormat = 'safetensors';
  return writeModel(
    {
      model: typeof source === 'string' ? await openModelFiles(source) : source,
      removed,
      out,
      format,
      overwrite: false,
      device: 'cpu',
      memoryBytes,
      ...more,
    },
    context,
  );
}

/** Logits [rows · sequence, vocabulary] of a folder or a model without the sublayers and experts of `removed`. */
export async function computeLogits(
  source: string | LayeredModel,
  rows: readonly (readonly number[])[],
  removed: readonly string[] = [],
): Promise<Float32Array> {
  const [logits = new Float32Array()] = await logitsWithout(source, rows, [removed]);
  return logits;
}

/** The same without each of several sets; what they share is made once. */
export async function logitsWithout(
  source: string | LayeredModel,
  rows: readonly (readonly number[])[],
  sets: readonly (readonly string[])[],
): Promise<Float32Array[]> {
  const model = typeof source === 'string' ? await openModel(source) : source;
  const executor = new LayeredExecutor(model, 'cpu', memoryBytes, { asItStands: true });
  try {
    const logits: Float32Array[] = [];
    for (const removed of sets) {
      const units = new Set(removed.flatMap((id) => executor.units.numberOf(id) ?? []));
      const results: number[] = [];
      for (const row of rows) {
        let state = await executor.embed(Int32Array.from(row));
        for (const index of model.summary.sublayers.keys()) {
          [state = state] = await executor.pass(index, [state], units);
        }
        results.push(...(await executor.logits(state)));
      }
      logits.push(Float32Array.from(results));
    }
    return logits;
  } finally {
    await executor.dispose();
  }
}

/** SHA-256 of every file of a folder. */
export function hashes(folder: string): Record<string, string> {
  return Object.fromEntries(
    readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .sort()
      .map((path) => [
        relative(folder, path),
        createHash('sha256').update(readFileSync(path)).digest('hex'),
      ]),
  );
}

export async function rejection(promise: Promise<unknown>): Promise<UserError> {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof UserError)) {
    throw new Error(`expected a UserError, got ${String(error)}`);
  }
  return error;
}

export function readConfig(folder: string): Record<string, unknown> {
  return JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8')) as Record<string, unknown>;
}
