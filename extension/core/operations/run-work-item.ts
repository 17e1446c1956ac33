import { randomUUID } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { WorkerTask } from '../distribute/local-engine';
import { probeRequest } from '../distribute/work-item';
import type { WorkFile, WorkSetup } from '../distribute/work-item';
import type { OpenTaskRunner, TaskRunner } from '../distribute/with-workers';
import type { TaskJob } from '../jobs/child-task';
import type { OpenModel } from '../models/model-cache';
import { openSeedRunner } from '../datadiet/training/seed-runner';
import type { OpenedModel } from '../models/opened-model';
import { openSearchRunner } from '../prune/shards/share-search';
import { openNetworkRunner } from '../symbolic/evolution/network-pieces';
import { openSliceRunner } from '../tensornet/repair/share-slices';
import { openLayerRunner } from '../tensornet/sensitivity/share-layers';
import { UserError } from '../user-error';
import { say } from '../message';

/** Task runner of each kind of work item. */
const kinds: Readonly<Record<string, OpenTaskRunner>> = {
  networks: openNetworkRunner,
  repair: openSliceRunner,
  search: openSearchRunner,
  seeds: openSeedRunner,
  sensitivity: openLayerRunner,
};

/** Runs work items in this process, of one job at a time. */
export class WorkItemRunner {
  private doer: TaskRunner | undefined;

  /** @param samples folder of the texts and the model that come with Espalier */
  public constructor(
    private readonly openModel: OpenModel,
    private readonly samples: string,
  ) {}

  /** @throws UserError if a file is not the one that the job is about */
  public async run({ setup, request, limits }: WorkerTask, job: TaskJob): Promise<unknown> {
    if (setup !== undefined) {
      await this.dispose();
      this.doer = await this.open(setup, limits);
    }
    if (this.doer === undefined) {
      throw new Error('a piece came without what it shares with others');
    }
    return request === probeRequest ? this.doer.probe() : this.doer.do(request, job);
  }

  public async dispose(): Promise<void> {
    await this.doer?.dispose();
    this.doer = undefined;
  }

  private async open(setup: WorkSetup, limits: WorkerTask['limits']): Promise<TaskRunner> {
    const { kind, data, files } = setup;
    const open = Object.hasOwn(kinds, kind) ? kinds[kind] : undefined;
    if (open === undefined) {
      throw new UserError(
        'work-kind-unknown',
        say`This version of Espalier doesn't support work of the kind "${kind}".`,
        { remedy: say`Run the same version on all machines.` },
      );
    }
    const jobFolder = setup.scratch ?? tmpdir();
    return open(data, {
      files: Object.fromEntries(Object.entries(files).map(([name, { path }]) => [name, path])),
      openModel: async (name = 'model') => this.modelOf(files[name]),
      ...{
        samples: this.samples,
        jobFolder,
        scratch: join(jobFolder, `espalier-pieces-${randomUUID()}`),
      },
      ...limits,
    });
  }

  private async modelOf(file: WorkFile | undefined): Promise<OpenedModel> {
    if (file === undefined) {
      throw new Error('the pieces came without a model');
    }
    const model = await this.openModel(file.path);
    if (model.summary.fingerprint !== file.fingerprint) {
      throw new UserError('model-changed', say`The model changed while it was measured.`, {
        file: file.path,
        remedy: say`Run the same command again.`,
      });
    }
    return model;
  }
}
