import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import { removeFromGraph } from '../../../../extension/core/export/onnx/onnx-surgery';
import { OnnxLayeredModel } from '../../../../extension/core/models/onnx/onnx-layered-model';
import { openOnnxModel } from '../../../../extension/core/models/onnx/onnx-model';
import {
  FunctionProtoSchema,
  ModelProtoSchema,
  NodeProtoSchema,
} from '../../../../extension/core/onnx/proto/onnx_pb';
import type { FunctionProto } from '../../../../extension/core/onnx/proto/onnx_pb';
import { UserError } from '../../../../extension/core/user-error';
import { graph, modelBytes, rawTensor } from '../../onnx-bytes';
import type { NodeLine } from '../../onnx-bytes';
import { temporaryFolder } from '../../temporary-folder';
import { attention, feedforward, norm } from './graph-lines';
import { inEnglish } from '../../../../extension/core/message';

const path = join(temporaryFolder(), 'model.onnx');

interface Opened {
  readonly ids: readonly string[];
  readonly error?: string;
}

/** Opens a graph from x to y and does to it what is done before weights are read. */
async function open(
  nodes: readonly NodeLine[],
  functions: readonly FunctionProto[] = [],
): Promise<Opened> {
  const initializers = ['w', 'v', 'scale', 'bias'].map((name) => rawTensor(name, [4, 4]));
  const bytes = modelBytes({
    inputs: { x: ['n', 4] },
    outputs: { y: ['n', 4] },
    nodes,
    initializers,
  });
  const model = fromBinary(ModelProtoSchema, bytes);
  model.functions.push(...functions);
  writeFileSync(path, toBinary(ModelProtoSchema, model));
  const opened = await openOnnxModel(path);
  await removeFromGraph(opened, new Set(opened.branches.keys()));
  const ids = opened.summary.sublayers.map(({ id }) => id);
  try {
    const layered = await OnnxLayeredModel.open(path);
    for (const index of ids.keys()) {
      layered.sublayer(index).part.build();
    }
    return { ids };
  } catch (error) {
    if (error instanceof UserError) {
      return { ids, error: error.message };
    }
    throw error;
  }
}

/** h0 → h1 → … by one line each. */
const chain = (length: number, line: (from: string, to: string) => NodeLine): NodeLine[] =>
  Array.from({ length }, (_, i) => line(`h${i}`, `h${i + 1}`));
const start: NodeLine = ['Identity', ['x'], ['h0']];

describe('a graph that is large or strange', () => {
  it('of 20 000 nodes in a row opens', async () => {
    const nodes = chain(20_000, (from, to) => ['Tanh', [from], [to]]);
    expect(await open([start, ...nodes, ['Identity', ['h20000'], ['y']]])).toMatchObject({
      ids: [],
    });
  });

  it('opens after a branch, without types', async () => {
    const nodes = chain(20_000, (from, to) => ['Tanh', [from], [to]]);
    const branch = feedforward('0.', 'h20000', 'f');
    const sum: NodeLine[] = [...branch, ['Add', ['h20000', 'f'], ['y']]];
    expect(await open([start, ...nodes, ...sum])).toEqual({ ids: ['block.0.feedforward'] });
  });

  it('with a chain of 20 000 weight nodes opens', async () => {
    const weights = chain(20_000, (from, to) => ['Identity', [from], [to]]);
    const nodes: NodeLine[] = [
      ['Identity', ['w'], ['h0']],
      ...weights,
      ['MatMul', ['x', 'h20000'], ['a']],
      ['Relu', ['a'], ['b']],
      ['MatMul', ['b', 'v'], ['f']],
      ['Add', ['x', 'f'], ['y']],
    ];
    expect(await open(nodes)).toEqual({ ids: ['block.0.feedforward'] });
  });

  it('with a node of 200 000 inputs opens', async () => {
    const many = Array.from({ length: 200_000 }, () => 'x');
    const nodes: NodeLine[] = [
      ['Concat', many, ['wide'], { axis: 1 }],
      ...feedforward('0.', 'wide', 'f'),
      ['Add', ['wide', 'f'], ['y']],
    ];
    expect(await open(nodes)).toEqual({ ids: ['block.0.feedforward'] });
  });

  it('of 200 blocks has all of their branches', async () => {
    const nodes = Array.from({ length: 200 }, (_, i): NodeLine[] => [
      norm(`h${2 * i}`, `n${2 * i}`),
      ...attention(`${i}.a.`, `n${2 * i}`, `f${2 * i}`),
      ['Add', [`h${2 * i}`, `f${2 * i}`], [`h${2 * i + 1}`]],
      norm(`h${2 * i + 1}`, `n${2 * i + 1}`),
      ...feedforward(`${i}.f.`, `n${2 * i + 1}`, `f${2 * i + 1}`),
      ['Add', [`h${2 * i + 1}`, `f${2 * i + 1}`], [`h${2 * i + 2}`]],
    ]).flat();
    const { ids } = await open([start, ...nodes, ['Identity', ['h400'], ['y']]]);
    expect(ids).toHaveLength(400);
    expect(ids.at(-1)).toBe('block.199.feedforward');
  });

  it('in which everything is added to everything is given up', async () => {
    const nodes = chain(4000, (from, to) => ['Dense', [from], [to]]).flatMap(
      ([, [from = ''], [to = '']]): NodeLine[] => [
        ['MatMul', [from, 'w'], [`${to}m`]],
        ['Add', ['x', `${to}m`], [to]],
      ],
    );
    const opening = open([start, ...nodes, ['Identity', ['h4000'], ['y']]]);
    await expect(opening).rejects.toFailWith({ code: 'graph-not-traceable', file: 'model.onnx' });
    await expect(opening).rejects.toBeInstanceOf(UserError);
  });

  it('with functions nested 20 000 deep, or recursive, opens', async () => {
    const count = 20_000;
    const functions = Array.from({ length: count }, (_, i) =>
      create(FunctionProtoSchema, {
        name: `F${i}`,
        domain: 'local',
        input: ['a'],
        output: ['b'],
        node: [
          create(NodeProtoSchema, {
            opType: i + 1 < count ? `F${i + 1}` : 'F0',
            domain: 'local',
            input: ['a'],
            output: ['b'],
          }),
        ],
      }),
    );
    const nodes: NodeLine[] = [
      ['MatMul', ['x', 'w'], ['a']],
      ['local:F0', ['a'], ['f']],
      ['Add', ['x', 'f'], ['y']],
    ];
    expect(await open(nodes, functions)).toEqual({ ids: ['block.0.other'] });
  });

  /** Graph of successive MLP branches, as a branch of an If. */
  const inner = (tag: string, count = 1): ReturnType<typeof graph> => {
    const streams = ['x', ...Array.from({ length: count - 1 }, (_, i) => `${tag}h${i}`), 'y'];
    return graph({
      inputs: {},
      outputs: { y: ['n', 4] },
      nodes: streams.slice(1).flatMap((to, i): NodeLine[] => {
        const from = streams[i] ?? '';
        const branch = `${tag}f${i}`;
        return [...feedforward(`${tag}${i}.`, from, branch), ['Add', [from, branch], [to]]];
      }),
    });
  };

  it('with layers in both branches of an If opens', async () => {
    const branches = { then_branch: inner('0.'), else_branch: inner('1.') };
    const { ids, error } = await open([['If', ['c'], ['y'], branches]]);
    expect(ids).toEqual(['block.0.feedforward']);
    expect(error ?? '').toBe('');
  });

  it('with an If on a computed condition keeps the condition', async () => {
    const branches = { then_branch: inner('0.', 2), else_branch: inner('1.', 2) };
    const nodes: NodeLine[] = [
      ['Not', ['p'], ['c']],
      ['If', ['c'], ['y'], branches],
    ];
    expect(await open(nodes)).toMatchObject({
      ids: ['block.0.feedforward', 'block.1.feedforward'],
    });
    const graph = await removeFromGraph(await openOnnxModel(path), new Set([0]));
    const { graph: written } = fromBinary(
      ModelProtoSchema,
      graph.toBytes(() => ({ location: '', offset: 0 })),
    );
    expect(written?.node.map(({ opType }) => opType)).toEqual(['Not', 'If']);
  });

  it('with different layers in the branches of an If is reported', async () => {
    const branches = { then_branch: inner('0.'), else_branch: inner('1.', 2) };
    expect(await open([['If', ['c'], ['y'], branches]])).toEqual({ ids: [] });
    const { summary } = await openOnnxModel(path);
    expect(summary.warnings.map(inEnglish)[0]).toMatch(
      /The branches of If y contain different layers/,
    );
  });

  it('with layers in nested Ifs is reported with their location', async () => {
    const deep = (tag: string): ReturnType<typeof graph> =>
      graph({
        inputs: {},
        outputs: { y: ['n', 4] },
        nodes: [
          ['If', ['c'], ['y'], { then_branch: inner(`${tag}0.`), else_branch: inner(`${tag}1.`) }],
        ],
      });
    const branches = { then_branch: deep('0.'), else_branch: deep('1.') };
    expect(await open([['If', ['c'], ['y'], branches]])).toEqual({ ids: [] });
    const { summary } = await openOnnxModel(path);
    expect(summary.warnings.map(inEnglish)[0]).toMatch(
      /inside then_branch of If y \(1 branches\) and/,
    );
  });

  /** A body that hands its state on, through one layer. */
  const loop = (to: string, from = 'x'): NodeLine => {
    const body = graph({
      inputs: { i: [], more: [], h: ['n', 4] },
      outputs: { more: [], next: ['n', 4] },
      nodes: [...feedforward('l.', 'h', 'f'), ['Add', ['h', 'f'], ['next']]],
    });
    return ['Loop', ['', '', from], [to], { body }];
  };
  const scan = (to: string, from = 'x'): NodeLine => {
    const body = graph({
      inputs: { h: ['n', 4], item: [4] },
      outputs: { next: ['n', 4] },
      nodes: [...feedforward('s.', 'h', 'f'), ['Add', ['h', 'f'], ['next']]],
    });
    return ['Scan', [from, from], [to], { body, num_scan_inputs: 1 }];
  };

  it.each([
    ['Loop', loop],
    ['Scan', scan],
  ])('with layers only in the body of a %s is reported with their location', async (op, lineTo) => {
    expect(await open([lineTo('y')])).toEqual({ ids: [] });
    const { summary } = await openOnnxModel(path);
    expect(summary.warnings.map(inEnglish)).toEqual([
      expect.stringContaining(`The residual stream is inside body of ${op} y (1 branches)`),
    ]);
  });

  it.each([
    ['Loop', loop],
    ['Scan', scan],
  ])(
    'with layers before the body of a %s finds those, and names the others',
    async (op, lineTo) => {
      const before: NodeLine[] = [
        ...feedforward('0.', 'x', 'f0'),
        ['Add', ['x', 'f0'], ['h0']],
        ['Tanh', ['h0'], ['t']],
      ];
      expect((await open([...before, lineTo('y', 't')])).ids).toEqual(['block.0.feedforward']);
      const { summary } = await openOnnxModel(path);
      expect(summary.warnings.map(inEnglish)).toEqual([
        expect.stringMatching(
          new RegExp(`inside body of ${op} y \\(1 branches\\) remain unchanged: .*without Loop`),
        ),
      ]);
    },
  );

  it('with a recurrence in a Scan that is removed with its sublayer names no other layer', async () => {
    const body = graph({
      inputs: { s: [4], item: [4] },
      outputs: { next: [4], given: [4] },
      nodes: [
        ['MatMul', ['s', 'w'], ['turned']],
        ['Add', ['s', 'turned'], ['kept']],
        ['Add', ['kept', 'item'], ['next']],
        ['Identity', ['next'], ['given']],
      ],
    });
    const nodes: NodeLine[] = [
      ['MatMul', ['x', 'v'], ['m']],
      ['Scan', ['bias', 'm'], ['last', 'f'], { body, num_scan_inputs: 1 }],
      ['Add', ['x', 'f'], ['y']],
    ];
    expect((await open(nodes)).ids).toEqual(['block.0.mixer']);
    const { summary } = await openOnnxModel(path);
    expect(summary.warnings).toEqual([]);
  });

  it("with experts in both branches of an If removes the MoE layer, and explains why single experts can't be removed", async () => {
    const mixture = (tag: string): ReturnType<typeof graph> =>
      graph({
        inputs: {},
        outputs: { y: ['n', 4] },
        nodes: [
          ['MatMul', ['x', 'w'], [`${tag}r`]],
          ['TopK', [`${tag}r`, 'two'], [`${tag}shares`, `${tag}chosen`]],
          ['MatMul', ['x', 'v'], [`${tag}up`]],
          ['Mul', [`${tag}up`, `${tag}shares`], [`${tag}f`]],
          ['Add', ['x', `${tag}f`], ['y']],
        ],
      });
    const branches = { then_branch: mixture('0.'), else_branch: mixture('1.') };
    expect((await open([['If', ['c'], ['y'], branches]])).ids).toEqual(['block.0.expert']);
    const { summary } = await openOnnxModel(path);
    expect(summary.warnings.map(inEnglish)).toEqual([
      expect.stringMatching(/Single experts of block\.0\.expert .*the layers lie inside of an If/),
    ]);
  });

  it.each<[string, NodeLine[], RegExp]>([
    [
      'dense connections',
      [
        ['MatMul', ['x', 'w'], ['f']],
        ['Concat', ['x', 'f'], ['y']],
      ],
      /pass on their inputs with Concat \(1 times, dense connections\)/,
    ],
    [
      'a plain chain',
      [['MatMul', ['x', 'w'], ['y']]],
      /no residual branch, so there is no sublayer/,
    ],
  ])('with %s explains why nothing can be removed', async (_, nodes, reason) => {
    expect(await open(nodes)).toEqual({ ids: [] });
    const { summary } = await openOnnxModel(path);
    expect(summary.warnings.map(inEnglish)[0]).toMatch(reason);
  });

  it.each(['w', 'x'])(
    'with a node that makes %s, a weight or an input, is refused',
    async (name) => {
      const nodes: NodeLine[] = [
        ['Tanh', ['v'], [name]],
        ['MatMul', ['x', 'w'], ['y']],
      ];
      await expect(open(nodes)).rejects.toThrow(
        `${name}: A node produces this value, which is also`,
      );
    },
  );
});
