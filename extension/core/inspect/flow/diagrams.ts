import { stampOfModel } from '../../checkpoints/model-stamp';
import type { OpenModel } from '../../models/model-cache';
import { openModelFiles } from '../../models/open-model';
import { locateWeights } from '../locate-weights';
import { describeFlow } from './describe-flow';
import type { Diagram } from './diagram';
import type { Flow, UnknownFlow } from './flow-document';
import { layOut } from './lay-out';

/** Draws flows; the last one is kept, since it is drawn anew with everything that is opened. */
export class Diagrams {
  public constructor(private readonly open: OpenModel = openModelFiles) {}

  private last: { readonly key: string; readonly flow: Promise<Flow | UnknownFlow> } | undefined;

  /**
   * @param unfolded Ids of groups that are opened, and of runs that are unfolded.
   * @throws UserError when a file is missing or damaged.
   */
  public async draw(model: string, unfolded: ReadonlySet<string>): Promise<Diagram | UnknownFlow> {
    const { path } = await locateWeights(model);
    const key = `${path}\n${await stampOfModel(path)}`;
    if (this.last?.key !== key) {
      this.last = { key, flow: describeFlow(model, this.open) };
    }
    try {
      const flow = await this.last.flow;
      return 'reason' in flow ? flow : layOut(flow, unfolded);
    } catch (error) {
      this.last = undefined;
      throw error;
    }
  }
}
