import { mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import process from 'node:process';
import { asSetting, validateRequest } from '../../extension/core/operations/build-request';
import type { AnyOperation, Environment } from '../../extension/core/operations/operation';
import { unattended } from '../../extension/core/jobs/job';
import { inEnglish } from '../../extension/core/message';
import type { Message } from '../../extension/core/message';
import { operations } from '../../extension/core/operations/operations';
import { runOperation } from '../../extension/core/operations/run-operation';
import { UserError } from '../../extension/core/user-error';
import { operationOf } from '../../extension/services/jobs/operations';
import { workOf } from '../../extension/services/jobs/saved-work';
import { describe, FaultyDisk, KilledError } from './faulty-disk';
import type { Call, Fault } from './faulty-disk';
import { taskOf } from './kinds';
import type { Kind, Sources, Task } from './kinds';
import { differences, halfMade, treeOf, without } from './tree';
import type { Tree } from './tree';

interface Options {
  readonly sources: Sources;
  /** A folder for results. */
  readonly folder: string;
  readonly environment: Environment;
}

/** Work of one kind, whose calls that write are known. */
export class FaultyWork {
  /** Those of an undisturbed run. */
  public readonly calls: readonly Call[];

  private constructor(
    private readonly kind: Kind,
    private readonly task: Task,
    private readonly options: Options,
    private readonly undisturbed: { readonly calls: readonly Call[]; readonly tree: Tree },
    private readonly untouched: Tree,
  ) {
    this.calls = undisturbed.calls;
  }

  public static async start(kind: Kind, options: Options): Promise<FaultyWork> {
    const out = join(options.folder, 'out');
    const task = inProcess(taskOf(kind, options.sources, out));
    renew(out);
    const disk = new FaultyDisk([out]);
    try {
      await runTask(task, options.environment);
    } finally {
      disk.restore();
    }
    const undisturbed = { calls: disk.calls, tree: treeOf(out) };
    return new FaultyWork(kind, task, options, undisturbed, treeOf(options.sources.folder, true));
  }

  /** Lets one call fail, then runs the same again. @returns in words what is wrong about either */
  public async try(fault: Fault): Promise<string[]> {
    const { task, options, undisturbed } = this;
    const out = join(options.folder, 'out');
    renew(out);
    const disk = new FaultyDisk([out], fault);
    const warned: string[] = [];
    const error: unknown = await runTask(task, options.environment, (warning) =>
      warned.push(warning),
    ).then(
      () => undefined,
      (thrown: unknown) => thrown ?? new Error('nothing was thrown'),
    );
    disk.restore();
    if (disk.calls.length <= fault.at) {
      return [`${fault.code}: there was no call ${fault.at} that could fail`];
    }
    const wasKilled = fault.code === 'killed';
    if (wasKilled) {
      giveToTheDead(out);
    }
    const found = wasKilled ? [] : judge(error);
    const actual = treeOf(out);
    found.push(...this.#halfMade(actual).map((one) => `half made: ${one}`));
    found.push(...differences(treeOf(options.sources.folder, true), this.untouched));
    const isRemoval = /^(rm|rmdir|unlink)$/.test(disk.calls[fault.at]?.name ?? '');
    // A result that was there already is gone with its folder.
    const isLate = fault.code === 'deleted' && isRemoval;
    if (error === undefined && !isLate) {
      // What could not be removed is done again by nobody.
      const kept = isRemoval ? without(actual, this.#saved()) : actual;
      const unsaid = differences(kept, undisturbed.tree).filter(
        (one) => !warned.some((warning) => warning.includes(one.split(' ')[0] ?? '')),
      );
      found.push(...unsaid.map((one) => `despite it ${one}`));
    } else if (error !== undefined && !wasKilled && !isRemoval) {
      const left = [...actual.keys()].filter((name) => name.includes('.espalier-partial-'));
      found.push(...left.map((name) => `${name} is left`));
    }
    if (error !== undefined) {
      mkdirSync(out, { recursive: true });
      const again: unknown = await runTask(task, options.environment).catch(
        (thrown: unknown) => thrown,
      );
      // One that was killed behind its result leaves it, and it is not written over.
      const isInTheWay = wasKilled && String(again).includes('The folder exists already');
      const wrong =
        again instanceof Error
          ? [`the next run fails: ${again.message}`]
          : differences(treeOf(out), undisturbed.tree).map((one) => `after the next run ${one}`);
      found.push(...(isInTheWay ? [] : wrong));
    }
    return found.map(
      (one) =>
        `${fault.code} at ${describe(disk.calls[fault.at] ?? { name: 'no call', path: '' })}: ${one}`,
    );
  }

  #halfMade(actual: Tree): string[] {
    return halfMade(actual, this.undisturbed.tree, { saved: this.#saved(), last: this.kind.last });
  }

  /** Paths of unfinished work, relative to the output. */
  #saved(): string[] {
    const { operation, request } = this.task as Parameters<typeof workOf>[0];
    const out = join(this.options.folder, 'out');
    const scratch = operationOf(operation).scratch?.(request) ?? [];
    return [...workOf({ operation, request }), ...scratch].map((path) => relative(out, path));
  }
}

/** Processes are not reached. */
const inProcess = ({ operation, request }: Task): Task => ({
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

/** What a person would miss in the error. */
function judge(error: unknown): string[] {
  if (error === undefined) return [];
  if (error instanceof KilledError) return ['it failed with what the harness throws'];
  if (!(error instanceof UserError)) {
    const told =
      error instanceof Error ? (error.stack ?? error.message) : 'something else than an error';
    return [`no words for a person: ${told.split('\n').slice(0, 4).join(' | ')}`];
  }
  const { file, remedy } = error.subject;
  return [
    ...(file === undefined ? [`it names no file: ${error.message}`] : []),
    ...(remedy === undefined ? [`it names no remedy: ${error.message}`] : []),
  ];
}

/** What a process leaves that was killed bears its number; here the process lives on. */
function giveToTheDead(folder: string): void {
  const own = new RegExp(`(\\.espalier-(?:partial|old)-)${process.pid}$`);
  for (const entry of readdirSync(folder, { recursive: true, encoding: 'utf8' }).reverse()) {
    const path = join(folder, entry);
    if (own.test(path)) {
      renameSync(path, join(dirname(path), basename(path).replace(own, '$12147483647')));
    }
  }
}
