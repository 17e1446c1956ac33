import { describe, expect, it } from 'vitest';
import { describeFlow, joinFlows } from '../../../extension/core/inspect/flow/diagrams';
import { everyItem, isGroup } from '../../../extension/core/inspect/flow/flow-document';
import type { Flow, FlowItem } from '../../../extension/core/inspect/flow/flow-document';
import { layOut } from '../../../extension/core/inspect/flow/lay-out';
import { verbatim } from '../../../extension/core/message';
import { fixture } from '../fixtures';

async function buildFlow(path: string): Promise<Flow> {
  const flow = await describeFlow(path);
  if ('reason' in flow) throw new Error('no flow');
  return flow;
}

/** The flow with its runs unfolded and without some items; one label says something else. */
function changed(flow: Flow, gone: readonly string[], other?: string): Flow {
  const keep = (items: readonly FlowItem[]): FlowItem[] =>
    items
      .filter(({ id }) => !gone.includes(id))
      .flatMap((item) => {
        const detail = item.id === other ? { detail: verbatim('other') } : {};
        if (!isGroup(item)) return [{ ...item, ...detail }];
        const children = keep(item.children);
        return item.kind === 'run' ? children : [{ ...item, ...detail, children }];
      });
  return { ...flow, items: keep(flow.items) };
}

const listDifferences = ({ items }: Flow) =>
  Object.fromEntries(
    [...everyItem(items)].flatMap(({ id, difference }) =>
      difference === undefined ? [] : [[id, difference] as const],
    ),
  );

describe('two models in one flow', () => {
  it('are one if they are equal', async () => {
    const flow = await buildFlow(fixture('llama-gqa-untied'));
    const joined = joinFlows(flow, flow);
    expect(listDifferences(joined)).toEqual({});
    expect(layOut(joined, new Set()).nodes).toEqual(layOut(flow, new Set()).nodes);
  });

  it('keep parts that only one of them has in place, and mark them', async () => {
    const flow = await buildFlow(fixture('llama-gqa-untied'));
    const pruned = changed(flow, ['block.1.attention', 'block.2']);
    const joined = joinFlows(pruned, flow);
    const differences = listDifferences(joined);
    expect(differences).toMatchObject({
      'block.1': 'changed',
      'block.1.attention': 'against',
      'block.1.attention/query': 'against',
      'block.2': 'against',
      'block.2.feedforward': 'against',
    });
    expect(differences).not.toHaveProperty(['block.1.feedforward']);
    const blocks = joined.items.filter(isGroup).map(({ id }) => id);
    expect(blocks.filter((id) => id.startsWith('block.'))).toEqual([
      ...['block.0', 'block.1', 'block.2', 'block.3'],
    ]);
    const { nodes } = layOut(joined, new Set());
    expect(nodes.find(({ id }) => id === 'block.1.attention')?.difference).toBe('against');
    expect(listDifferences(joinFlows(flow, pruned))['block.2']).toBe('model');
  });

  it('mark the differing part and everything around it', async () => {
    const flow = await buildFlow(fixture('llama-gqa-untied'));
    const other = changed(flow, [], 'block.3.feedforward');
    expect(listDifferences(joinFlows(flow, other))).toEqual({
      'block.3': 'changed',
      'block.3.feedforward': 'changed',
    });
    // Blocks that are alike are still folded.
    expect(joinFlows(flow, other).items.some(({ id }) => id.startsWith('run:block.0'))).toBe(true);
  });
});
