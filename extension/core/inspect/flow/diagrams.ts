import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { locateWeights } from '../locate-weights';
import { describeFlow } from './describe-flow';
import type { Diagram } from './diagram';
import type { Flow, UnknownFlow } from './flow-document';
import { layOut } from './lay-out';

/** Draws flows; the last one is kept, since it is drawn anew with everything that is opened. */
export class Diagrams {
  private last: { readonly key: string; readonly flow: Promise<Flow | UnknownFlow> } | undefined;

  /**
   * @param open Ids of groups that are opened, and of runs that are unfolded.
   * @throws UserError when a file is missing or damaged.
   */
  public async draw(model: string, open: ReadonlySet<string>): Promise<Diagram | UnknownFlow> {
    const key = await keyOf(model);
    if (this.last?.key !== key) {
      this.last = { key, flow: describeFlow(model) };
    }
    try {
      const flow = await this.last.flow;
      return 'reason' in flow ? flow : layOut(flow, open);
    } catch (error) {
      this.last = undefined;
      throw error;
    }
  }
}

/** Other files, or other content of the same, give another key. */
async function keyOf(model: string): Promise<string> {
  const { weights, folder } = await locateWeights(model);
  const stamps = await Promise.all(
    [weights, join(folder, 'config.json')].map((file) =>
      stat(file).then(
        ({ size, mtimeMs }) => `${file} ${size} ${mtimeMs}`,
        () => file,
      ),
    ),
  );
  return stamps.join('\n');
}
