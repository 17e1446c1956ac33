import { randomUUID } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { PieceTask } from '../distribute/local-engine';
import { probeRequest } from '../distribute/piece';
import type { PieceSetup } from '../distribute/piece';
import type { OpenPieces, PieceDoer } from '../distribute/piece-doer';
import type { TaskJob } from '../jobs/child-task';
import type { OpenModel } from '../models/model-cache';
import { openSearchPieces } from '../prune/shards/share-search';
import { openLayerPieces } from '../tensornet/sensitivity/share-layers';
import { UserError } from '../user-error';
import { say } from '../message';

/** Who does the pieces of each kind. */
const kinds: Readonly<Record<string, OpenPieces>> = {
  search: openSearchPieces,
  sensitivity: openLayerPieces,
};

/** Does pieces in this process, of one job at a time. */
export class PieceRunner {
  private doer: PieceDoer | undefined;

  public constructor(private readonly openModel: OpenModel) {}

  /** @throws UserError where the model is not the one that the job is about */
  public async run({ setup, request, limits }: PieceTask, job: TaskJob): Promise<unknown> {
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

  private async open(setup: PieceSetup, limits: PieceTask['limits']): Promise<PieceDoer> {
    const { kind, data } = setup;
    const { fingerprint, path } = setup.model;
    const open = Object.hasOwn(kinds, kind) ? kinds[kind] : undefined;
    if (open === undefined) {
      throw new UserError(say`This version of Espalier knows no work of the kind "${kind}".`, {
        remedy: say`Run the same version on all machines.`,
      });
    }
    const model = await this.openModel(path);
    if (model.summary.fingerprint !== fingerprint) {
      throw new UserError(say`The model changed while it was measured.`, {
        file: path,
        remedy: say`Run the same command again.`,
      });
    }
    const scratch = join(setup.scratch ?? tmpdir(), `espalier-pieces-${randomUUID()}`);
    return open(data, { model, scratch, ...limits });
  }
}
