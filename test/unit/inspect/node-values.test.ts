import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Diagram } from '../../../extension/core/inspect/flow/diagram';
import { Diagrams } from '../../../extension/core/inspect/flow/diagrams';
import { readNodeValues } from '../../../extension/core/inspect/flow/node-values';
import { fixture } from '../fixtures';
import { onnxFixture } from '../onnx-fixtures';
import { temporaryFolder } from '../temporary-folder';

const folder = temporaryFolder();
let count = 0;

function written(value: unknown): string {
  const file = join(folder, `${count++}.json`);
  writeFileSync(file, typeof value === 'string' ? value : JSON.stringify(value));
  return file;
}

async function drawn(model: string, open: readonly string[], values: unknown): Promise<Diagram> {
  const diagram = await new Diagrams().draw(model, new Set(open), { values: written(values) });
  if ('reason' in diagram) throw new Error('no flow');
  return diagram;
}

describe('numbers of any tool', () => {
  it.each([
    ['an object', { a: 1, b: 2.5, note: 'x' }],
    [
      'a list',
      [{ name: 'a', value: 1 }, { node: 'b', value: 2.5 }, { name: 'c' }, 7, { value: 1 }],
    ],
    ['Model Explorer', { graph: { results: { a: { value: 1 }, b: { value: 2.5 } } } }],
    ['Model Explorer without a graph', { results: { a: { value: 1 }, b: { value: 2.5 } } }],
    [
      'a profile of ONNX Runtime',
      [
        { cat: 'Session', name: 'model_run', dur: 9 },
        { cat: 'Node', name: 'a_kernel_time', dur: 0.4 },
        { cat: 'Node', name: 'b_kernel_time', dur: 2.5 },
        { cat: 'Node', name: 'a_kernel_time', dur: 0.6 },
      ],
    ],
  ])('are read from %s', async (_, value) => {
    expect([...(await readNodeValues(written(value)))]).toEqual([
      ['a', 1],
      ['b', 2.5],
    ]);
  });

  it.each(['{', '[]', '{"a": "b"}', '7'])('are requested if there are none: %s', async (text) => {
    const file = written(text);
    await expect(readNodeValues(file)).rejects.toMatchObject({ subject: { file } });
  });
});

describe('a diagram with numbers', () => {
  it('has the values of sublayers, and the range of folded parts', async () => {
    const values = { 'block.0.attention': 0.5, 'block.3.attention': 2, 'block.9.attention': 7 };
    const folded = await drawn(fixture('llama-gqa-untied'), [], values);
    const attention = folded.nodes.find(({ id }) => id === 'block.0.attention');
    expect(attention?.value).toEqual({ least: 0.5, most: 2 });
    expect(attention?.detail).toContain('0.5 – 2');
    expect(folded.nodes.find(({ id }) => id === 'block.0.feedforward')?.value).toBeUndefined();
    expect(folded.values).toMatchObject({ count: 3, found: 2, least: 0.5, most: 2 });
  });

  it('has those of nodes of a graph, by their names, and of tensors', async () => {
    const model = onnxFixture('plain-dynamo');
    const plain = await new Diagrams().draw(model, new Set());
    if ('reason' in plain) throw new Error('no flow');
    const groups = plain.nodes.flatMap(({ id, expanded }) => (expanded === undefined ? [] : [id]));
    const open = await new Diagrams().draw(model, new Set(groups));
    if ('reason' in open) throw new Error('no flow');
    const named = open.nodes.find(({ name, frame }) => name !== undefined && !frame);
    const found = await drawn(model, groups, { [named?.name ?? '']: 3.14159 });
    const box = found.nodes.find(({ id }) => id === named?.id);
    expect(box?.value).toEqual({ least: 3.14159, most: 3.14159 });
    expect(box?.detail).toMatch(/3\.14$/);
    // Frames around it have it too, so that it is found from outside.
    const parent = found.nodes.find(({ id }) => id === named?.parent);
    expect(parent === undefined ? box?.value : parent.value).toEqual(box?.value);
    const tensor = 'model.layers.1.self_attn.q_proj.weight';
    const path = fixture('llama-gqa-untied');
    const byTensor = await drawn(path, [], { [tensor]: 1 });
    expect(byTensor.nodes.find(({ id }) => id === 'block.0.attention')?.value?.most).toBe(1);
  });
});
