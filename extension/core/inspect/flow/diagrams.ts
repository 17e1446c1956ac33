import { stampOfModel } from '../../checkpoints/model-stamp';
import type { OpenModel } from '../../models/model-cache';
import { openModelFiles } from '../../models/open-model';
import { locateWeights } from '../locate-weights';
import { describeFlow } from './describe-flow';
import type { Diagram } from './diagram';
import { everyItem, isGroup } from './flow-document';
import type { Flow, UnknownFlow } from './flow-document';
import { layOut } from './lay-out';
import { joined, readNodeValues, withValues } from './node-values';

/** Draws flows; the last one is kept, since it is drawn anew with everything that is opened. */
export class Diagrams {
  public constructor(private readonly open: OpenModel = openModelFiles) {}

  private last: { readonly key: string; readonly flow: Promise<Flow | UnknownFlow> } | undefined;

  /**
   * @param unfolded Ids of groups that are opened, and of runs that are unfolded.
   * @param file numbers to draw on the boxes, as {@link readNodeValues} reads them
   * @throws UserError when a file is missing or damaged.
   */
  public async draw(
    model: string,
    unfolded: ReadonlySet<string>,
    file?: string,
  ): Promise<Diagram | UnknownFlow> {
    const { path } = await locateWeights(model);
    const key = `${path}\n${await stampOfModel(path)}`;
    if (this.last?.key !== key) {
      this.last = { key, flow: describeFlow(model, this.open) };
    }
    try {
      const flow = await this.last.flow;
      if ('reason' in flow) {
        return flow;
      }
      return file === undefined ? layOut(flow, unfolded) : await drawValues(flow, unfolded, file);
    } catch (error) {
      this.last = undefined;
      throw error;
    }
  }
}

async function drawValues(
  flow: Flow,
  unfolded: ReadonlySet<string>,
  file: string,
): Promise<Diagram> {
  const values = await readNodeValues(file);
  const valued = withValues(flow, values);
  const [first = 0] = values.values();
  const { least, most } = joined(valued.items) ?? { least: first, most: first };
  const found = [...everyItem(valued.items)].filter(
    (item) =>
      item.value !== undefined && !(isGroup(item) && item.children.some((one) => one.value)),
  ).length;
  return { ...layOut(valued, unfolded), values: { file, count: values.size, found, least, most } };
}
