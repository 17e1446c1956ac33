import { cp, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { Tensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { inEnglish } from '../../../extension/core/message';
import type { LayeredModel } from '../../../extension/core/models/layered-model';
import { parseRanges } from '../../../extension/core/models/width-pruning/number-ranges';
import type { PlannedWidthPruning } from '../../../extension/core/models/width-pruning/width';
import { openModel } from '../../../extension/core/models/open-model';
import { attribute } from '../../../extension/core/onnx/messages';
import {
  ModelProtoSchema,
  NodeProtoSchema,
  OperatorSetIdProtoSchema,
  TensorProtoSchema,
} from '../../../extension/core/onnx/proto/onnx_pb';
import type { ModelProto, NodeProto } from '../../../extension/core/onnx/proto/onnx_pb';
import { relativeError } from '../fixtures';
import { onnxFixture, readOnnxGolden } from '../onnx-fixtures';
import { layerFeatures, sampled } from '../sample';
import { temporaryFolder } from '../temporary-folder';
import { ignoringIn, pruneWidthsIn, computeOutput } from './width-pruning';

const root = temporaryFolder();
const pruneWidths = pruneWidthsIn(root);
const ignoring = ignoringIn(root);

/** The feeds without what caches [batch, heads, past, head size] of blocks hold of the heads that go. */
function withoutHeads(
  feeds: Readonly<Record<string, Tensor>>,
  plan: readonly PlannedWidthPruning[],
): Record<string, Tensor> {
  return Object.fromEntries(
    Object.entries(feeds).map(([name, tensor]) => {
      const [, block] = /^past_key_values\.(\d+)\.(?:decoder\.)?(?:key|value)$/.exec(name) ?? [];
      const own = plan.find(({ sublayer }) => sublayer === `block.${block}.attention`);
      const removedHeads = parseRanges(own?.remove ?? '') ?? [];
      const [batch = 1, heads = 1, past = 1, size = 1] = tensor.dims;
      const numbers = Array.from(tensor.data as Float32Array).filter(
        (_, i) => !removedHeads.includes(Math.floor(i / (past * size)) % heads),
      );
      return own === undefined
        ? [name, tensor]
        : [
            name,
            new Tensor('float32', Float32Array.from(numbers), [
              ...[batch, heads - removedHeads.length, past, size],
            ]),
          ];
    }),
  );
}

/** Distances of a width-pruned file from the original that ignores the heads, and of that one from the original. */
async function errors(
  source: string,
  name: string,
  plan: readonly PlannedWidthPruning[],
  out = name,
): Promise<{ readonly error: number; readonly change: number; readonly path: string }> {
  const { path, parametersBefore, parametersAfter } = await pruneWidths(
    source,
    { widths: plan },
    out,
  );
  expect(parametersAfter).toBeLessThan(parametersBefore);
  const { feeds } = readOnnxGolden(name);
  const zeroed = await ignoring(dirname(source), out, plan);
  const expected = await computeOutput(join(zeroed, 'model.onnx'), feeds);
  const actual = await computeOutput(join(path, 'model.onnx'), withoutHeads(feeds, plan));
  const change = relativeError(expected, await computeOutput(source, feeds));
  return { error: relativeError(actual, expected), change, path };
}

/** A copy of a fixture whose nodes are others. */
async function edited(
  name: string,
  folder: string,
  edit: (node: NodeProto[], model: ModelProto) => void,
): Promise<string> {
  await cp(dirname(onnxFixture(name)), join(root, folder), { recursive: true });
  const file = join(root, folder, 'model.onnx');
  const model = fromBinary(ModelProtoSchema, await readFile(file));
  edit(model.graph?.node ?? [], model);
  await writeFile(file, toBinary(ModelProtoSchema, model));
  return file;
}

const refusalReason = async (file: string, index = 0): Promise<string> => {
  const model: LayeredModel = await openModel(file);
  expect(model.sublayer(index).width).toBeUndefined();
  const why = model.sublayer(index).widthProblem;
  return why === undefined ? '' : inEnglish(why);
};

/** Graphs whose attention heads are pruned, one of each exporter for each set of features. */
const attending = await sampled(
  [
    ...['bert-dynamo', 'bert-fused', 'bert-legacy', 'gemma2-dynamo', 'gemma2-legacy'],
    ...['gpt-neox-dynamo', 'gpt-neox-legacy', 'gpt2-dynamo', 'gpt2-fused', 'gpt2-legacy'],
    ...['gpt2-past', 'llama-dynamo', 'llama-fused', 'llama-half-dynamo', 'llama-half-legacy'],
    ...['llama-legacy', 'mixtral-dynamo', 'mixtral-legacy', 'phi-dynamo', 'phi-genai'],
    ...['phi-legacy', 'qwen3-dynamo', 'qwen3-groups-intfour', 'qwen3-legacy'],
    ...['qwen3-moe-dynamo', 'qwen3-moe-past', 't5-dynamo', 't5-legacy', 't5-past', 'vit-dynamo'],
    ...['vit-fused', 'vit-legacy', 'whisper-decoder-dynamo', 'whisper-decoder-legacy'],
    ...['whisper-encoder-dynamo', 'whisper-encoder-legacy'],
  ],
  async (name) => `${name.replace(/^.*-/, '')} ${await layerFeatures(onnxFixture(name))}`,
);

describe('heads of a width-pruned ONNX file', () => {
  it.each(attending)('of %s: the remaining ones compute the same values', async (name) => {
    const source = onnxFixture(name);
    const before: LayeredModel = await openModel(source);
    // Another head in each block.
    const plan = before.summary.sublayers.flatMap(({ id, kind }, index) =>
      kind === 'attention'
        ? [{ sublayer: id, remove: String(index % (before.sublayer(index).width?.count ?? 0)) }]
        : [],
    );
    expect(plan.length).toBeGreaterThan(1);
    const { error, change, path } = await errors(source, name, plan);
    expect(change).toBeGreaterThan(1e-4);
    expect(error).toBeLessThan(Math.min(change / 10, name.includes('half') ? 2e-3 : 1e-5));
    const after: LayeredModel = await openModel(join(path, 'model.onnx'));
    for (const [index, { kind, kvBytesPerToken }] of before.summary.sublayers.entries()) {
      const count = before.sublayer(index).width?.count ?? 0;
      if (kind === 'attention') {
        expect(after.sublayer(index).width?.count).toBe(count > 2 ? count - 1 : undefined);
        expect(after.summary.sublayers[index]?.kvBytesPerToken).toBe(
          (kvBytesPerToken * (count - 1)) / count,
        );
      }
    }
  });

  it('can be removed if only an unused node reads all of them', async () => {
    const name = 'llama-legacy';
    const file = await edited(name, 'unread', (nodes) => {
      const weights = nodes.filter(({ opType }) => opType === 'Softmax');
      nodes.push(
        ...weights.map(({ output }, i) =>
          create(NodeProtoSchema, { opType: 'Size', input: output, output: [`unread/${i}`] }),
        ),
        ...weights.map(({ output: [scores = ''] }, i) =>
          create(NodeProtoSchema, {
            ...{ opType: 'MatMul', input: [scores, scores], output: [`unread/product/${i}`] },
          }),
        ),
      );
    });
    const { error, change } = await errors(
      file,
      name,
      [{ sublayer: 'block.0.attention', remove: '0' }],
      'unread-out',
    );
    expect(change).toBeGreaterThan(1e-4);
    expect(error).toBeLessThan(1e-5);
  });

  it('of MultiHeadAttention after one matmul are removed', async () => {
    const folder = join(root, 'parted');
    await cp(dirname(onnxFixture('bert-fused')), folder, { recursive: true });
    const file = join(folder, 'model.onnx');
    const model = fromBinary(ModelProtoSchema, await readFile(file));
    const { node = [] } = model.graph ?? {};
    const at = node.findIndex(({ opType }) => opType === 'Attention');
    const fused = node[at];
    if (model.graph === undefined || fused === undefined) {
      throw new Error('bert-fused has a fused attention');
    }
    // The operators that ONNX Runtime's fused operator replaces.
    const [rows = '', weight = '', bias = '', mask = ''] = fused.input;
    const parts = ['q', 'k', 'v'].map((part) => `parted/${part}`);
    const made = (opType: string, input: string[], output: string[]) =>
      create(NodeProtoSchema, { name: output[0] ?? '', opType, input, output });
    node.splice(
      at,
      1,
      made('MatMul', [rows, weight], ['parted/product']),
      create(NodeProtoSchema, {
        ...{ name: 'parted/split', opType: 'Split', input: ['parted/product', 'parted/sizes'] },
        ...{ output: parts, attribute: [attribute('axis', -1)] },
      }),
      create(NodeProtoSchema, {
        ...{ name: 'parted/attends', opType: 'MultiHeadAttention', domain: fused.domain },
        ...{ input: [...parts, bias, mask], output: fused.output },
        attribute: fused.attribute.filter(({ name }) => name === 'num_heads'),
      }),
    );
    const size = Number(model.graph.initializer.find(({ name }) => name === bias)?.dims[0] ?? 0n);
    const sizes = BigInt64Array.from([1, 2, 3], () => BigInt(size / 3));
    model.graph.initializer.push(
      create(TensorProtoSchema, {
        ...{ name: 'parted/sizes', dataType: 7, dims: [3n] },
        rawData: new Uint8Array(sizes.buffer),
      }),
    );
    await writeFile(file, toBinary(ModelProtoSchema, model));
    const plan = [{ sublayer: 'block.0.attention', remove: '1,3' }];
    const { path } = await pruneWidths(file, { widths: plan }, 'parted-heads');
    const zeroed = await ignoring(folder, 'parted', plan);
    const { feeds } = readOnnxGolden('bert-fused');
    const expected = await computeOutput(join(zeroed, 'model.onnx'), feeds);
    const actual = await computeOutput(join(path, 'model.onnx'), feeds);
    expect(relativeError(actual, expected)).toBeLessThan(1e-5);
  });

  it('are removed if the graph computes their number in its own way', async () => {
    const source = await edited('bert-dynamo', 'computed', (node) => {
      // Values that the exporter wrote as −1 and as a constant are computed by the graph.
      const reshape = node.find(({ output }) => output[0] === 'view');
      const at = node.findIndex((one) => one === reshape);
      const made = (opType: string, input: string[], output: string, more = {}) =>
        create(NodeProtoSchema, { name: output, opType, input, output: [output], ...more });
      node.splice(
        at,
        0,
        made('Shape', ['linear'], 'counted/width', {
          attribute: [attribute('start', 2), attribute('end', 3)],
        }),
        made('Div', ['counted/width', 'val_101'], 'counted/heads'),
        made('Concat', ['val_0', 'val_2', 'counted/heads', 'val_101'], 'counted/sizes', {
          attribute: [attribute('axis', 0)],
        }),
      );
      reshape?.input.splice(1, 1, 'counted/sizes');
    });
    const plan = [{ sublayer: 'block.0.attention', remove: '0,2' }];
    const { error } = await errors(source, 'bert-dynamo', plan, 'computed-heads');
    expect(error).toBeLessThan(1e-5);
  });

  it.each([
    ['heads', ['transpose', 'transpose_3', 'transpose_2'], 'matmul_1', {}],
    [
      ...['rows', ['linear', 'linear_1', 'linear_2'], 'view_3'],
      { q_num_heads: 4, kv_num_heads: 4 },
    ],
  ] as const)('of the operator of opset 23 go out of %s', async (form, inputs, output, numbers) => {
    const source = await edited('bert-dynamo', `opset-23-${form}`, (node, model) => {
      const at = (name: string): number => node.findIndex((one) => one.output[0] === name);
      const [turned] = node[at('transpose_3')]?.attribute ?? [];
      turned?.ints.splice(0, 4, 0n, 2n, 1n, 3n);
      node.splice(
        at(output),
        1,
        create(NodeProtoSchema, {
          ...{ name: 'attends', opType: 'Attention', input: [...inputs, 'where'] },
          output: [output],
          attribute: Object.entries(numbers).map(([name, value]) => attribute(name, value)),
        }),
      );
      // Without the operators that it replaces.
      const isRead = ({ output: made }: NodeProto): boolean =>
        made.includes('logits') ||
        node.some(({ input }) => made.some((one) => input.includes(one)));
      for (
        let dead = node.findIndex((one) => !isRead(one));
        dead >= 0;
        dead = node.findIndex((one) => !isRead(one))
      ) {
        node.splice(dead, 1);
      }
      model.opsetImport.splice(0, 9, create(OperatorSetIdProtoSchema, { version: 23n }));
    });
    const plan = [{ sublayer: 'block.0.attention', remove: '0,2' }];
    const { error, change } = await errors(source, 'bert-dynamo', plan, `heads-of-23-${form}`);
    expect(change).toBeGreaterThan(1e-4);
    expect(error).toBeLessThan(1e-5);
  });

  it('stay if another node depends on their number', async () => {
    const source = await edited('bert-dynamo', 'counted', (node) => {
      const at = node.findIndex(({ output }) => output[0] === 'mul_111');
      const made = (opType: string, input: string[], output: string, more = {}) =>
        create(NodeProtoSchema, { name: output, opType, input, output: [output], ...more });
      node.splice(
        at,
        0,
        made('Shape', ['transpose'], 'counted/shape', {
          attribute: [attribute('start', 1), attribute('end', 2)],
        }),
        made('Cast', ['counted/shape'], 'counted/heads', { attribute: [attribute('to', 1)] }),
      );
      node.find(({ output }) => output[0] === 'mul_111')?.input.splice(1, 1, 'counted/heads');
    });
    expect(await refusalReason(source)).toMatch(/^The inputs of .+ belong to a head/);
  });

  it('are refused with the reason', async () => {
    expect(await refusalReason(onnxFixture('gpt2-merged'))).toMatch(/several times/);
    expect(await refusalReason(onnxFixture('llama-genai'))).toBe('It has one key/value head.');
    const plan = [{ sublayer: 'block.0.attention', remove: '1' }];
    const source = onnxFixture('llama-legacy');
    const { path } = await pruneWidths(source, { widths: plan }, 'one-group');
    expect(await refusalReason(join(path, 'model.onnx'))).toMatch(
      /^All of its heads read the output of .+/,
    );
  });
});
