import { describe, expect, it } from 'vitest';
import { histogramRows, histogramSummary } from '../../../webview/charts/histogram';
import { allNodes, buildTree, visibleRows } from '../../../webview/explorer/tree-model';
import type { ModelDescription, StoredTensor } from '../../../webview/explorer/types';
import { savedView } from '../../../webview/explorer/view-state';
import { viewFrom } from '../../../webview/kit/saved-view';

function tensor(name: string, shape: readonly number[], dtype = 'F16'): StoredTensor {
  const parameters = shape.reduce((product, size) => product * size, 1);
  return { name, dtype, shape, parameters, bytes: 2 * parameters, file: '/w', offset: 8 };
}

const costs = { flopsPerToken: 10, kvBytesPerToken: 4, kvElementsPerToken: 2 };

function block(index: number): ModelDescription['blocks'][number] {
  const sublayer = (kind: 'attention' | 'feedforward', tensors: readonly StoredTensor[]) => ({
    ...{ id: `block.${index}.${kind}`, kind, parameters: 24, bytes: 48, tensors },
    ...costs,
  });
  const at = `model.layers.${index}`;
  return {
    ...{ id: `block.${index}`, index, parameters: 48, bytes: 96 },
    sublayers: [
      sublayer('attention', [
        tensor(`${at}.self_attn.q_proj.weight`, [4, 4]),
        tensor(`${at}.self_attn.k_proj.weight`, [2, 4]),
      ]),
      sublayer('feedforward', [tensor(`${at}.mlp.up_proj.weight`, [6, 4], 'F32')]),
    ],
  };
}

const part = (name: 'embedding' | 'head', own: StoredTensor) => ({
  ...{ part: name, parameters: own.parameters, bytes: own.bytes, flopsPerToken: 0 },
  tensors: [own],
});

const model: Pick<ModelDescription, 'blocks' | 'parts' | 'facts'> = {
  facts: {},
  blocks: [block(0), block(1)],
  parts: [
    part('head', tensor('lm_head.weight', [9, 4])),
    part('embedding', tensor('model.embed_tokens.weight', [9, 4])),
  ],
};

const tree = buildTree(model as ModelDescription);
const listLabels = (expanded: readonly string[], query = ''): string[] =>
  visibleRows(tree, new Set(expanded), query).map(({ node }) => node.label);

describe('the tree', () => {
  it('begins with the embedding and continues in the order of the model', () => {
    expect(listLabels([])).toEqual(['Embedding', 'Block 0', 'Block 1', 'LM head']);
  });

  it('distinguishes blocks of an encoder from those of a decoder', () => {
    const towers = buildTree({ ...model, facts: { encoderBlocks: 1 } } as ModelDescription);
    expect(towers.map(({ label }) => label)).toEqual([
      ...['Embedding', 'Block 0 (encoder)', 'Block 1 (decoder)', 'LM head'],
    ]);
  });

  it('opens blocks and sublayers', () => {
    expect(listLabels(['block.0', 'block.0.attention'])).toEqual([
      ...['Embedding', 'Block 0', 'Attention', 'self_attn.q_proj.weight'],
      ...['self_attn.k_proj.weight', 'MLP', 'Block 1', 'LM head'],
    ]);
  });

  it('a row has its level, its position and its neighbors', () => {
    const rows = visibleRows(tree, new Set(['block.0']), '');
    const found = rows.find(({ node }) => node.id === 'block.0.feedforward');
    expect(found).toMatchObject({ position: 2, siblings: 2, expanded: false });
    expect(found?.node.level).toBe(2);
    expect(found?.node.parent?.id).toBe('block.0');
  });

  it('sums the rows below', () => {
    const [, first] = tree;
    expect(first).toMatchObject({ tensors: 3, flopsPerToken: 20, kvBytesPerToken: 8 });
    expect(first?.dtype).toBe('mixed');
    const ids = Array.from(allNodes(tree), ({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
  });
});

describe('a search', () => {
  it('shows rows that match all words, and their parents', () => {
    expect(listLabels([], 'k_proj 2x4')).toEqual([
      ...['Block 0', 'Attention', 'self_attn.k_proj.weight'],
      ...['Block 1', 'Attention', 'self_attn.k_proj.weight'],
    ]);
    expect(listLabels([], 'UP_PROJ f32 layers.1')).toEqual([
      ...['Block 1', 'MLP', 'mlp.up_proj.weight'],
    ]);
    expect(listLabels([], 'nothing like it')).toEqual([]);
  });

  it('a sublayer that is found opens as without a search', () => {
    expect(listLabels([], 'block.1.attention')).toEqual(['Block 1', 'Attention']);
    expect(listLabels(['block.1.attention'], 'block.1.attention')).toHaveLength(4);
  });
});

describe('the histogram', () => {
  const histogram = { low: -1, high: 1, counts: [0, 3, 1, 0] };

  it('is described in a sentence', () => {
    expect(histogramSummary(histogram)).toBe(
      'Histogram with 4 bins from -1 to 1; most values are around -0.25.',
    );
  });

  it('has a table of the non-empty parts', () => {
    expect(histogramRows(histogram)).toEqual([
      ['-0.5', '0', '3'],
      ['0', '0.5', '1'],
    ]);
  });
});

it('a view of another version falls back to defaults if invalid', () => {
  const saved = { path: '/m', view: { expanded: ['block.0', 7], query: 3, selected: 'x' } };
  expect(viewFrom(savedView, saved)).toEqual({
    ...{ expanded: ['block.0'], query: '', selected: 'x' },
    ...{ logarithmic: false, form: 'table', open: [], colors: 'importance' },
  });
  expect(viewFrom(savedView, undefined).expanded).toEqual([]);
});
