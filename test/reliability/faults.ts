import { cpSync, existsSync, mkdirSync, rmSync } from 'node:fs';
import { join, relative } from 'node:path';
import process from 'node:process';
import { asSetting, validateRequest } from '../../extension/core/operations/build-request';
import type { AnyOperation, Environment } from '../../extension/core/operations/operation';
import { unattended } from '../../extension/core/jobs/job';
import { ownerPattern } from '../../extension/core/jobs/owner';
import { inEnglish } from '../../extension/core/message';
import type { Message } from '../../extension/core/message';
import { operations } from '../../extension/core/operations/operations';
import { runOperation } from '../../extension/core/operations/run-operation';
import { UserError } from '../../extension/core/user-error';
import { getOperation } from '../../extension/services/jobs/operations';
import { removeWork, savedWorkPaths } from '../../extension/services/jobs/saved-work';
import { describe, FaultyDisk, KilledError } from './faulty-disk';
import type { Call, Fault } from './faulty-disk';
import { makeTask } from './kinds';
import type { Kind, Sources, Task } from './kinds';
import { differences, halfMade, readTree, without } from './tree';
import type { Tree } from './tree';

/** They differ from run to run. */
const owners = new RegExp(ownerPattern.source, 'g');

interface Options {
  readonly sources: Sources;
  /** A folder for results. */
  readonly folder: string;
  readonly environment: Environment;
}

/** Work of one kind, whose calls that write are known. */
export class FaultyWork {
  /** Calls of an undisturbed run. */
  public readonly calls: readonly Call[];
  /** Disk states from which the next run gave the undisturbed result. */
  readonly #proven = new Set<string>();

  private constructor(
    private readonly kind: Kind,
    private readonly task: Task,
    private readonly options: Options,
    private readonly undisturbed: { readonly calls: readonly Call[]; readonly tree: Tree },
    private readonly untouched: Tree,
    /** Results of an undisturbed run. */
    public readonly seconds: number,
  ) {
    this.calls = undisturbed.calls;
  }

  public static async start(kind: Kind, options: Options): Promise<FaultyWork> {
    const out = join(options.folder, 'out');
    const task = processTask(makeTask(kind, options.sources, out));
    renew(out);
    const started = performance.now();
    const disk = new FaultyDisk([out]);
    try {
      await runTask(task, options.environment);
    } finally {
      disk.restore();
    }
    const seconds = (performance.now() - started) / 1000;
    const undisturbed = { calls: disk.calls, tree: readTree(out) };
    const untouched = readTree(options.sources.folder, true);
    return new FaultyWork(kind, task, options, undisturbed, untouched, seconds);
  }

  /**
   * Keeps what is on disk just before some of the calls, by another undisturbed run, so that trying one of them begins
   * there: as a run that was killed and is resumed.
   */
  public async prepare(sites: readonly number[]): Promise<void> {
    const { task, options } = this;
    const out = join(options.folder, 'out');
    renew(out);
    const disk = new FaultyDisk([out], undefined, (number) => {
      if (sites.includes(number)) cpSync(out, this.#stateAt(number), { recursive: true });
    });
    try {
      await runTask(task, options.environment);
    } finally {
      disk.restore();
    }
  }

  /** Lets one call fail, then runs the same again. @returns in words what is wrong about either */
  public async try({
    at,
    code,
  }: {
    readonly at: number;
    readonly code: Fault['code'];
  }): Promise<string[]> {
    const state = this.#stateAt(at);
    const call = this.calls[at];
    const resumed =
      call !== undefined && existsSync(state)
        ? await this.#try({ at: call, code }, state)
        : undefined;
    const found = resumed ?? (await this.#try({ at, code }));
    return found ?? [`${code}: there was no call ${at} that could fail`];
  }

  /**
   * @param state what is on disk before; nothing if absent
   * @returns undefined where nothing came to fail
   */
  async #try(fault: Fault, state?: string): Promise<string[] | undefined> {
    const { task, options, undisturbed } = this;
    const out = join(options.folder, 'out');
    renew(out);
    if (state !== undefined) {
      cpSync(state, out, { recursive: true });
    }
    const disk = new FaultyDisk([out], fault);
    const warned: string[] = [];
    const error: unknown = await runTask(task, options.environment, (warning) =>
      warned.push(warning),
    ).then(
      () => undefined,
      (thrown: unknown) => thrown ?? new Error('nothing was thrown'),
    );
    disk.restore();
    const { failed } = disk;
    if (failed === undefined) return undefined;
    const wasKilled = fault.code === 'killed';
    const found = wasKilled ? [] : judge(error);
    const actual = readTree(out);
    found.push(...this.#halfMade(actual).map((one) => `half made: ${one}`));
    found.push(...differences(readTree(options.sources.folder, true), this.untouched));
    const isRemoval = /^(rm|rmdir|unlink)$/.test(failed.name);
    // An existing result is deleted with its folder.
    const isLate = fault.code === 'deleted' && isRemoval;
    if (error === undefined && !wasKilled && !isLate) {
      // Failed removals are not retried.
      const remaining = isRemoval ? without(actual, this.#saved()) : actual;
      const unsaid = differences(remaining, undisturbed.tree).filter(
        (one) => !warned.some((warning) => warning.includes(one.split(' ')[0] ?? '')),
      );
      found.push(...unsaid.map((one) => `despite it ${one}`));
    } else if (error !== undefined && !wasKilled && !isRemoval) {
      const left = [...actual.keys()].filter((name) =>
        name.includes(`.espalier-partial-${process.pid}-`),
      );
      found.push(...left.map((name) => `${name} is left`));
    }
    // A killed process reports nothing, regardless of the error here. From the same state the next run gives the same result.
    const lies = JSON.stringify([wasKilled, ...actual]).replaceAll(owners, '');
    if ((error !== undefined || wasKilled) && !this.#proven.has(lies)) {
      mkdirSync(out, { recursive: true });
      const again: unknown = await runTask(task, options.environment).catch(
        (thrown: unknown) => thrown,
      );
      // A run killed after writing its result leaves it, and it is not overwritten.
      const isInTheWay = wasKilled && String(again).includes('The folder exists already');
      const isWrong = again instanceof Error && !isInTheWay;
      // Its saved work is removed by hand.
      if (isInTheWay) await removeWork(task as Parameters<typeof removeWork>[0]);
      const differ = differences(readTree(out), undisturbed.tree).filter(
        (one) => !isInTheWay || one.endsWith('is left'),
      );
      found.push(
        ...(isWrong
          ? [`the next run fails: ${again.message}`]
          : differ.map((one) => `after the next run ${one}`)),
      );
      if (!isWrong && differ.length === 0) this.#proven.add(lies);
    }
    return found.map((one) => `${fault.code} at ${describe(failed)}: ${one}`);
  }

  /** Folder with the disk state before a call. */
  #stateAt(number: number): string {
    return join(this.options.folder, 'states', this.task.operation, String(number));
  }

  #halfMade(actual: Tree): string[] {
    return halfMade(actual, this.undisturbed.tree, { saved: this.#saved(), last: this.kind.last });
  }

  /** Paths of unfinished work, relative to the output. */
  #saved(): string[] {
    const { operation, request } = this.task as Parameters<typeof savedWorkPaths>[0];
    const out = join(this.options.folder, 'out');
    const scratch = getOperation(operation).saved?.leftovers?.(request) ?? [];
    return [...savedWorkPaths({ operation, request }), ...scratch].map((path) =>
      relative(out, path),
    );
  }
}

/** Processes are not reached. */
const processTask = ({ operation, request }: Task): Task => ({
  operation,
  request: request['workers'] === undefined ? request : { ...request, workers: 1 },
});

function renew(out: string): void {
  rmSync(out, { recursive: true, force: true });
  mkdirSync(out, { recursive: true });
}

export async function runTask(
  { operation: id, request }: Task,
  environment: Environment,
  onWarning: (warning: string) => void = () => undefined,
): Promise<void> {
  const operation = operations.find((one) => one.id === id) as unknown as AnyOperation;
  const checked = validateRequest(operation, request, asSetting(operation.fields));
  const warn = (warning: Message): void => {
    onWarning(inEnglish(warning));
  };
  await runOperation(operation, checked, { ...unattended, warn, environment });
}

/** Missing details of the error. */
function judge(error: unknown): string[] {
  if (error === undefined) return [];
  if (error instanceof KilledError) return ['it failed with what the harness throws'];
  if (!(error instanceof UserError)) {
    const reported =
      error instanceof Error ? (error.stack ?? error.message) : 'something else than an error';
    return [`no words for a person: ${reported.split('\n').slice(0, 4).join(' | ')}`];
  }
  const { file, remedy } = error.subject;
  return [
    ...(file === undefined ? [`it names no file: ${error.message}`] : []),
    ...(remedy === undefined ? [`it names no remedy: ${error.message}`] : []),
  ];
}
