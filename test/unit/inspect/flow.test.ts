import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { describeFlow } from '../../../extension/core/inspect/flow/diagrams';
import type { Diagram, DiagramNode } from '../../../extension/core/inspect/flow/diagram';
import { everyItem, isGroup } from '../../../extension/core/inspect/flow/flow-document';
import type { Flow, FlowGroup } from '../../../extension/core/inspect/flow/flow-document';
import { foldBlocks } from '../../../extension/core/inspect/flow/fold-blocks';
import { layOut } from '../../../extension/core/inspect/flow/lay-out';
import { describeModel } from '../../../extension/core/inspect/describe-model';
import { allTensors } from '../../../extension/core/inspect/tensor-table';
import { openOnnxModel } from '../../../extension/core/models/onnx/onnx-model';
import { encoderFixture, encoderNames, textTowers } from '../encoder-fixtures';
import { caseNames, familyFixture, fixture } from '../fixtures';
import chinese from '../../../l10n/bundle.l10n.zh-cn.json';
import { onnxCases, onnxFixture } from '../onnx-fixtures';
import { modelFeatures, sampled } from '../sample';
import { fill, inEnglish, say, verbatim } from '../../../extension/core/message';

const ggufFolder = join(import.meta.dirname, '../../fixtures/gguf');
const quantizedFolder = join(import.meta.dirname, '../../fixtures/quantized');

async function buildFlow(path: string): Promise<Flow> {
  const flow = await describeFlow(path);
  if ('reason' in flow) throw new Error(inEnglish(flow.reason));
  return flow;
}

function listGroups(flow: Flow): FlowGroup[] {
  return [...everyItem(flow.items)].filter(isGroup);
}

function group(flow: Flow, id: string): FlowGroup {
  const found = listGroups(flow).find((one) => one.id === id);
  if (found === undefined) throw new Error(`no group ${id}`);
  return found;
}

/** Labels of what reads a node, and of what a node reads. */
function joints(flow: Flow): { after: (id: string) => string[]; before: (id: string) => string[] } {
  return {
    after: (id) => flow.edges.filter(({ from }) => from === id).map(({ to }) => to),
    before: (id) => flow.edges.filter(({ to }) => to === id).map(({ from }) => from),
  };
}

const labels = ({ nodes }: Diagram): string[] => nodes.map(({ label }) => label);
const inside = (outer: DiagramNode, inner: DiagramNode): boolean =>
  inner.x >= outer.x &&
  inner.y >= outer.y &&
  inner.x + inner.width <= outer.x + outer.width + 0.01 &&
  inner.y + inner.height <= outer.y + outer.height + 0.01;

const folders = await sampled(
  [
    ...caseNames.map((name) => fixture(name)),
    // With two towers, the diagram has the one that runs, and the structure both.
    ...encoderNames
      .filter((name) => !textTowers.includes(name))
      .map((name) => encoderFixture(name)),
  ],
  modelFeatures,
);
const graphs = await sampled(onnxCases, async (name) => modelFeatures(onnxFixture(name)));

describe('flows from the architecture', () => {
  it.each([
    ...folders,
    ...[
      'gemma3n_text',
      'gemma4_text',
      'gemma4_text-keys-are-values',
      'gemma4_text-experts',
      'recurrent_gemma',
      'zamba2',
      'deepseek_v4',
    ].map((name) => familyFixture(name)),
    ...['llama', 'qwen3', 'gemma3'].map((name) => join(ggufFolder, `${name}.gguf`)),
  ])(
    '%s: every used tensor is in it, sublayers are those Stored weights, unquantized hangs loose',
    async (path) => {
      const flow = await buildFlow(path);
      const model = await describeModel(path);
      const known = new Set(allTensors(model).map(({ tensor }) => tensor.name));
      const drawn = new Set(
        [...everyItem(flow.items)].flatMap((item) => (isGroup(item) ? [] : item.tensors)),
      );
      expect([...drawn].filter((name) => !known.has(name))).toEqual([]);
      const unused = new Set(
        model.warnings
          .map(inEnglish)
          .join(' ')
          .match(/[\w.]+/g) ?? [],
      );
      const missing = [...known].filter((name) => !drawn.has(name) && !unused.has(name));
      expect(
        missing.filter(
          (name) =>
            !/rope_freqs|inv_freq|position_ids|\.(attn|attention)\.(masked_)?bias|mask_token|masked_spec_embed|vision_model\.(post_layernorm|head\.)/.test(
              name,
            ),
        ),
      ).toEqual([]);
      expect(
        listGroups(flow).flatMap(({ kind, row }) => (kind === 'sublayer' ? [row] : [])),
      ).toEqual(model.blocks.flatMap(({ sublayers }) => sublayers.map(({ id }) => id)));
      const leaves = [...everyItem(flow.items)].filter((item) => !isGroup(item));
      const [read, left] = [
        new Set(flow.edges.map(({ to }) => to)),
        new Set(flow.edges.map(({ from }) => from)),
      ];
      const without = (kept: ReadonlySet<string>, end: string): string[] =>
        leaves.flatMap(({ id, kind }) => (kind === end || kept.has(id) ? [] : [id]));
      expect(without(read, 'input')).toEqual([]);
      expect(without(left, 'output')).toEqual([]);
    },
  );

  it.each(['awq', 'gptq-4-act-order', 'fp8', 'bnb-nf4'])(
    'draws the packed weights of %s by their names in the file, without decoding them',
    async (name) => {
      const flow = await buildFlow(join(quantizedFolder, name));
      const query = [...everyItem(flow.items)].find(({ id }) => id === 'block.0.attention/query');
      expect(query).toMatchObject({
        kind: 'weights',
        tensors: [expect.stringMatching(/layers\.0\.self_attn\.q_proj\.(?:q?weight)$/)],
      });
    },
  );

  it('draws norms, heads, rotary and cache in place', async () => {
    const flow = await buildFlow(fixture('llama-gqa-untied'));
    const { before } = joints(flow);
    const at = 'block.0.attention/';
    expect(before(`${at}query`)).toEqual([`${at}rms-norm`]);
    expect(before(`${at}rotate`)).toEqual([`${at}query`]);
    expect(before(`${at}rotate-2`)).toEqual([`${at}key`]);
    expect(before(`${at}cache`)).toEqual([`${at}rotate-2`, `${at}value`]);
    expect(before(`${at}attention`)).toEqual([`${at}rotate`, `${at}cache`]);
    expect(before('block.0/sum')).toEqual(['model/embedding', `${at}output`]);
    expect(before('block.0.feedforward/rms-norm')).toEqual(['block.0/sum']);
    const shapes = ['query', 'cache'].map(
      (name) => flow.edges.find(({ from }) => from === `${at}${name}`)?.shape,
    );
    expect(shapes).toEqual([
      ['batch', 'sequence', 48],
      ['batch', 2, '?', 12],
    ]);
    expect(flow.edges.some(({ shared }) => shared)).toBe(false);
  });

  it('distinguishes parallel branches, shared and sandwich norms, and norms of sums', async () => {
    const phi = joints(await buildFlow(fixture('phi')));
    const branches = ['attention', 'feedforward'].map((kind) => `block.0.${kind}/layer-norm`);
    // Both branches read the block's input; the norm that they share is emitted for each.
    expect(branches.map((norm) => phi.before(norm))).toEqual([
      ['model/embedding'],
      ['model/embedding'],
    ]);
    expect(phi.before('block.0/sum-2')).toEqual(['block.0/sum', 'block.0.feedforward/down']);
    const falcon = joints(await buildFlow(fixture('falcon-new')));
    expect(falcon.before('block.0.feedforward/layer-norm')).toEqual(['model/embedding']);
    const gemma = joints(await buildFlow(fixture('gemma2')));
    expect(gemma.before('block.0/sum')[1]).toBe('block.0.attention/rms-norm-2');
    const bert = joints(await buildFlow(encoderFixture('bert-plain')));
    expect(bert.before('block.0/sum-norm')).toEqual(['block.0/sum']);
    expect(bert.before('block.0.attention/query')).toEqual(['model/layer-norm']);
  });

  it.each([
    ['bloom', familyFixture('bloom'), 'causal, bias by distance'],
    ['jina-bert', encoderFixture('jina-bert'), 'sees all, bias by distance'],
    ['bert-plain', encoderFixture('bert-plain'), 'sees all'],
  ])('shows the distance biases of the scores of %s', async (_, path, expected) => {
    const { items } = await buildFlow(path);
    const attention = [...everyItem(items)].find(({ id }) => id === 'block.0.attention/attention');
    expect(attention).toHaveProperty('detail');
    const { detail } = attention as { detail: Parameters<typeof inEnglish>[0] };
    expect(inEnglish(detail)).toMatch(new RegExp(`\\d+, ${expected}$`));
  });

  it('joins a tied head with the embedding, and experts with their router', async () => {
    const tied = await buildFlow(fixture('llama-tied-f16'));
    expect(tied.edges.filter(({ shared }) => shared)).toEqual([
      { from: 'model/embedding', to: 'model/head', shared: true },
    ]);
    const { before } = joints(await buildFlow(fixture('mixtral')));
    expect(before('block.0.expert/choose')).toEqual(['block.0.expert/router']);
    expect(before('block.0.expert/weighted-sum')).toEqual([
      ...[
        'rms-norm',
        'choose',
        'expert.0/mul-2',
        'expert.1/mul-2',
        'expert.2/mul-2',
        'expert.3/mul-2',
      ].map((name) => `block.0.expert/${name}`),
    ]);
  });

  it('gives the reason for an unknown flow', async () => {
    const lone = join(import.meta.dirname, '../../fixtures/statistics/model.safetensors');
    expect(await describeFlow(lone)).toEqual({
      reason: say`There is no config.json that names the architecture.`,
    });
  });
});

describe('flows of ONNX graphs', () => {
  it.each(graphs)('%s: every operator that carries data is drawn once', async (name) => {
    const flow = await buildFlow(onnxFixture(name));
    const { index, summary } = await openOnnxModel(onnxFixture(name));
    const operators = [...everyItem(flow.items)].filter(
      (item) => !isGroup(item) && item.kind !== 'input' && item.kind !== 'output',
    );
    const computed = index.nodes.filter(
      ({ outputs }) => !outputs.every((output) => index.constants.has(output)),
    );
    expect(operators.length + flow.omitted).toBe(computed.length);
    expect(new Set([...everyItem(flow.items)].map(({ id }) => id)).size).toBe(
      [...everyItem(flow.items)].length,
    );
    expect(listGroups(flow).flatMap(({ kind, row }) => (kind === 'sublayer' ? [row] : []))).toEqual(
      summary.sublayers.map(({ id }) => id),
    );
    // Each sublayer is left by one value of the stream, which a sum outside of it reads.
    for (const { id, children } of listGroups(flow).filter(({ kind }) => kind === 'sublayer')) {
      const own = new Set([...everyItem(children)].map((item) => item.id));
      const out = flow.edges.filter(({ from, to }) => own.has(from) && !own.has(to));
      expect(new Set(out.map(({ from }) => from)).size, id).toBe(1);
    }
  });

  it('keeps two towers apart and joins them by cross-attention', async () => {
    const flow = await buildFlow(onnxFixture('t5-dynamo'));
    const runs = flow.items.filter(isGroup).filter(({ kind }) => kind === 'run');
    expect(runs.map(({ children }) => children.map(({ id }) => id))).toEqual([
      ['block.0', 'block.1'],
      ['block.2', 'block.3'],
    ]);
    const cross = new Set(
      [...everyItem(group(flow, 'block.3.cross-attention').children)].map(({ id }) => id),
    );
    const sources = flow.edges.filter(({ from, to }) => cross.has(to) && !cross.has(from));
    expect(sources.some(({ from }) => from.startsWith('between'))).toBe(true);
  });
});

describe('folding', () => {
  const block = (index: number, signature: string) => ({
    signature,
    group: { id: `block.${index}`, kind: 'block' as const, label: verbatim(''), children: [] },
  });
  const fold = (pattern: string) =>
    foldBlocks(pattern.split('').map((signature, index) => block(index, signature))).map(text);
  const text = (item: { id: string; children?: readonly object[]; shown?: number }): string =>
    item.shown === undefined
      ? item.id.replace('block.', '')
      : `${(item.children?.length ?? 0) / item.shown}×[${(item.children ?? [])
          .slice(0, item.shown)
          .map((child) => text(child as { id: string }))
          .join(' ')}]`;

  it('folds runs of equal blocks and leaves unequal ones', () => {
    expect(fold('aaaa')).toEqual(['4×[0]']);
    expect(fold('aabaa')).toEqual(['2×[0]', '2', '2×[3]']);
    expect(fold('ab')).toEqual(['0', '1']);
  });

  it('folds patterns of runs', () => {
    expect(fold('ababab')).toEqual(['3×[0 1]']);
    expect(fold('aaabaaabaaa')).toEqual(['2×[3×[0] 3]', '3×[8]']);
  });
});

describe('the layout', () => {
  it('draws a folded run instead of its blocks, and unfolds it', async () => {
    const flow = await buildFlow(fixture('llama-gqa-untied'));
    const folded = layOut(flow, new Set());
    const run = folded.nodes.find(({ kind }) => kind === 'run');
    expect(run).toMatchObject({
      times: 4,
      rows: ['block.0', 'block.1', 'block.2', 'block.3'],
      expanded: false,
    });
    const attention = folded.nodes.find(({ id }) => id === 'block.0.attention');
    expect(attention).toMatchObject({
      parent: run?.id,
      rows: [0, 1, 2, 3].map((block) => `block.${block}.attention`),
      sublayers: [0, 1, 2, 3].map((block) => `block.${block}.attention`),
    });
    const unfolded = layOut(flow, new Set([run?.id ?? '']));
    expect(labels(unfolded)).toContain('Block 1');
    const opened = layOut(flow, new Set([run?.id ?? '', 'block.1', 'block.1.attention']));
    expect(opened.nodes.find(({ id }) => id === 'block.1.attention/query')).toMatchObject({
      rows: ['tensor:model.layers.1.self_attn.q_proj.weight'],
      level: 4,
    });
  });

  describe('in Chinese', () => {
    const texts: Readonly<Record<string, string>> = chinese;
    const draw = async (path: string): Promise<Diagram> => {
      const flow = await buildFlow(path);
      const open = new Set(listGroups(flow).map(({ id }) => id));
      return layOut(flow, open, (code, ...values) => fill(texts[code] ?? code, ...values));
    };

    it('translates its words and sizes, and fits boxes to their text', async () => {
      const { nodes, edges } = await draw(fixture('mixtral'));
      const said = nodes.flatMap(({ label, detail = '' }) => [label, detail]);
      const known = /RMS|Softmax|silu|logits/;
      expect(said.filter((text) => /[A-Za-z]{2}/.test(text) && !known.test(text))).toEqual([]);
      expect(edges.flatMap(({ shape }) => shape?.text ?? [])).toContain('批次 × 序列 × 32');
      for (const { label, detail = '', width } of nodes.filter(({ frame }) => !frame)) {
        const wide = [label, detail].map((text) => text.replace(/[^\u4E00-\u9FFF]/g, '').length);
        expect(width, label).toBeGreaterThan(Math.max(12 * (wide[0] ?? 0), 11 * (wide[1] ?? 0)));
      }
    });

    it('leaves names of operators and ports as the file has them', async () => {
      const { nodes } = await draw(onnxFixture('gpt2-legacy'));
      const labels = nodes.map(({ label }) => label);
      expect(labels).toEqual(expect.arrayContaining(['Add', 'Split', 'input_ids', '注意力']));
    });
  });

  it('routes each value between frames, from the one it leaves to the one it enters', () => {
    const block = (id: string) => ({
      ...{ id, kind: 'block' as const, label: verbatim(id) },
      children: ['left', 'right'].map((side) => ({
        ...{ id: `${id}.${side}`, label: verbatim(side), kind: 'operator' as const, tensors: [] },
      })),
    });
    const { nodes, edges } = layOut(
      {
        ...{ source: 'architecture', items: [block('a'), block('b')], omitted: 0 },
        edges: ['left', 'right'].map((side) => ({ from: `a.${side}`, to: `b.${side}` })),
      },
      new Set(),
    );
    const below = nodes.find(({ id }) => id === 'a');
    const border = (below?.y ?? 0) + (below?.height ?? 0);
    const places = (end: 0 | -1): number[] =>
      edges.flatMap(({ points }) => {
        const point = points.at(end);
        return point?.y === border ? [point.x] : [];
      });
    expect(new Set(places(-1)).size).toBe(2);
    expect(places(0).sort()).toEqual(places(-1).sort());
  });

  it('leaves a group closed that is too large to be read', async () => {
    const flow = await buildFlow(fixture('llama-gqa-untied'));
    const operators = Array.from({ length: 3000 }, (_, i) => ({
      ...{ id: `n${i}`, label: verbatim('Add'), kind: 'operator' as const, tensors: [] },
    }));
    const huge = {
      id: 'huge',
      kind: 'part' as const,
      label: verbatim('Huge'),
      children: operators,
    };
    const { nodes } = layOut({ ...flow, items: [...flow.items, huge] }, new Set(['huge']));
    const box = nodes.find(({ id }) => id === 'huge');
    expect(box).toMatchObject({ frame: false });
    expect(box?.expanded).toBeUndefined();
  });

  it.each([fixture('mixtral'), onnxFixture('t5-past'), onnxFixture('t5-dynamo')])(
    "%s: fully open, boxes are inside their frames and don't overlap",
    async (path) => {
      const flow = await buildFlow(path);
      const diagram = layOut(flow, new Set(listGroups(flow).map(({ id }) => id)));
      const byId = new Map(diagram.nodes.map((node) => [node.id, node]));
      const whole = { ...diagram, x: 0, y: 0 };
      const isApart = (one: DiagramNode, other: DiagramNode): boolean =>
        other.x >= one.x + one.width ||
        one.x >= other.x + other.width ||
        other.y >= one.y + one.height ||
        one.y >= other.y + other.height;
      // Half a million pairs: an assertion for each takes a minute.
      expect(
        diagram.nodes.flatMap((node) =>
          inside(byId.get(node.parent ?? '') ?? (whole as unknown as DiagramNode), node)
            ? []
            : [node.id],
        ),
        'outside of their frames',
      ).toEqual([]);
      const overlaps = diagram.nodes.flatMap((node, i) =>
        diagram.nodes
          .slice(0, i)
          .flatMap((other) =>
            other.parent !== node.parent || isApart(node, other) ? [] : [[other.id, node.id]],
          ),
      );
      expect(overlaps, 'boxes on each other').toEqual([]);
      expect(diagram.edges.filter(({ points }) => points.length < 2)).toEqual([]);
      const isOn = ({ x, y }: { x: number; y: number }): boolean =>
        x >= 0 && y >= 0 && x <= diagram.width && y <= diagram.height;
      expect(diagram.edges.filter(({ points }) => !points.every(isOn))).toEqual([]);
      // Cut at every border, an edge of the flow leaves one piece for each frame it crosses.
      expect(diagram.edges.length).toBeGreaterThanOrEqual(flow.edges.length / 2);
    },
  );
});
