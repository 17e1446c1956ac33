import { cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openOnnx } from '../../../extension/core/checkpoints/onnx-file';
import { openSafetensors } from '../../../extension/core/checkpoints/safetensors';
import { encodingTensors } from '../../../extension/core/models/encodings/encoding-facts';
import { storeEncodings } from '../../../extension/core/models/encodings/store-encodings';
import type { LayeredModel } from '../../../extension/core/models/layered-model';
import type { LinearLayer, MatrixEncoding } from '../../../extension/core/models/matrix-encoding';
import { openModel } from '../../../extension/core/models/open-model';
import { openDecoder } from '../../../extension/core/generate/open-decoder';
import { fixture, readJson, relativeError } from '../fixtures';
import { onnxFixture } from '../onnx-fixtures';
import { temporaryFolder } from '../temporary-folder';
import { encoderFixture, encoderGolden, encoderOutput } from '../encoder-fixtures';
import { denseValues, formNames, formsInTurn, formsOutside } from './all-forms';
import type { FormName, EmbeddingAndHeadForms } from './all-forms';
import { computeLogits, prune, readConfig, rejection } from './pruning';

const root = temporaryFolder();
let count = 0;
const fresh = (): string => join(root, `${count++}`);

const goldens = join(import.meta.dirname, '../../fixtures/compressed');

interface Golden {
  readonly name: string;
  readonly forms: FormName[];
  readonly embeddingAndHead?: EmbeddingAndHeadForms;
  readonly removed: string[];
  readonly inputIds: number[][];
  /** Logits of the last token of each text, computed by transformers. */
  readonly lastLogits: number[][];
}

const listLayers = (model: LayeredModel, removed: readonly string[] = []): LinearLayer[] =>
  model.summary.sublayers.flatMap(({ id }, index) =>
    removed.includes(id) ? [] : [...model.sublayer(index).linearLayers],
  );

interface Written {
  readonly path: string;
  readonly matrices: ReadonlyMap<string, MatrixEncoding>;
}

/** A folder whose linear layers have these forms in turn, or the dense matrices of them. */
async function compressed(
  source: string,
  forms: readonly FormName[],
  {
    removed = [],
    dense = false,
    embeddingAndHead = {},
  }: {
    removed?: readonly string[];
    dense?: boolean;
    embeddingAndHead?: EmbeddingAndHeadForms;
  } = {},
): Promise<Written> {
  const model = await openModel(source);
  const layers = listLayers(model, removed);
  const outside = model.embeddingAndHeadMatrices;
  const made = new Map([
    ...(forms.length === 0 ? [] : formsInTurn(layers, forms)),
    ...formsOutside(outside, embeddingAndHead),
  ]);
  const matrices = await storeEncodings(
    `${fresh()}.safetensors`,
    dense ? denseValues(made, [...layers, ...outside]) : made,
  );
  const path = fresh();
  const result = await prune(source, removed, path, { matrices });
  const written = (await openModel(path)).summary;
  expect(written.parameters).toBe(result.parametersAfter);
  expect(written.warnings).toEqual([]);
  return { path, matrices };
}

const lastRows = (logits: Float32Array, rows: readonly (readonly number[])[]): Float32Array => {
  const tokens = rows.reduce((sum, row) => sum + row.length, 0);
  const width = logits.length / tokens;
  let end = 0;
  return Float32Array.from(
    rows.flatMap((row) => {
      end += row.length * width;
      return [...logits.subarray(end - width, end)];
    }),
  );
};

describe('a compressed Hugging Face folder', () => {
  const cases = readdirSync(goldens).map(
    (file) => JSON.parse(readFileSync(join(goldens, file), 'utf8')) as Golden,
  );

  it.each(cases)(
    'of $name with $forms and $embeddingAndHead has the logits of transformers',
    async (golden) => {
      const { name, forms, embeddingAndHead = {}, removed, inputIds, lastLogits } = golden;
      const expected = Float32Array.from(lastLogits.flat());
      const last = async (path: string): Promise<Float32Array> =>
        lastRows(await computeLogits(path, inputIds), inputIds);
      const rounds = [...forms, ...Object.values(embeddingAndHead)].some((form) =>
        /int|whole/.test(form),
      );
      const { path } = await compressed(fixture(name), forms, { removed, embeddingAndHead });
      expect(relativeError(await last(path), expected)).toBeLessThan(rounds ? 5e-2 : 1e-5);
      const dense = await compressed(fixture(name), forms, {
        removed,
        embeddingAndHead,
        dense: true,
      });
      expect(relativeError(await last(dense.path), expected)).toBeLessThan(1e-5);
    },
  );

  it('has no dense weights, and records the encoding of each layer', async () => {
    const { path, matrices } = await compressed(fixture('llama-gqa-untied'), formNames);
    const { tensors } = await openSafetensors(join(path, 'model.safetensors'));
    for (const id of matrices.keys()) {
      expect(tensors.has(id)).toBe(false);
      expect([...tensors.keys()].some((key) => key.startsWith(id.replace(/weight$/, '')))).toBe(
        true,
      );
    }
    const { compressed: told = {} } = (await openModel(path)).summary;
    expect(Object.values(told).flatMap((one) => Object.keys(one))).toHaveLength(matrices.size);
    expect(readConfig(path)).toMatchObject({
      model_type: 'espalier-llama',
      espalier: { removed: [], compressed: told },
    });
  });

  it('is pruned and compressed again, and generates as the graph of it does', async () => {
    const first = await compressed(fixture('qwen3'), ['low rank', 'mpo, chained']);
    const removed = ['block.1.attention', 'block.2.attention', 'block.2.feedforward'];
    const second = fresh();
    await prune(first.path, removed, second);
    const { inputIds } = readJson<{ inputIds: number[][] }>('qwen3', 'golden.json');
    const expected = await computeLogits(first.path, inputIds, removed);
    expect(relativeError(await computeLogits(second, inputIds), expected)).toBeLessThan(1e-6);
    const { compressed: told = {} } = (await openModel(second)).summary;
    expect(Object.keys(told)).toEqual([
      'block.0.attention',
      'block.0.feedforward',
      'block.1.feedforward',
      'block.2.attention',
      'block.2.feedforward',
    ]);

    const third = await compressed(second, ['low rank']);
    expect(relativeError(await computeLogits(third.path, inputIds), expected)).toBeGreaterThan(
      1e-3,
    );
    const { tensors } = await openSafetensors(join(third.path, 'model.safetensors'));
    expect([...tensors.keys()].filter((name) => name.includes('.core.'))).toEqual([]);

    const [ids = []] = inputIds;
    const model = await openModel(third.path);
    const decoder = await openDecoder(model, { device: 'cpu', memoryBytes: 1 << 28, removed: [] });
    const vocabulary = model.summary.vocabularySize ?? 0;
    const next = await decoder.read(Int32Array.from(ids));
    await decoder.dispose();
    const all = await computeLogits(third.path, [ids]);
    expect(relativeError(next, all.subarray(-vocabulary))).toBeLessThan(1e-5);
  });

  it('reads an embedding by another of its names', async () => {
    const source = fresh();
    cpSync(encoderFixture('t5-encoder'), source, { recursive: true });
    const file = join(source, 'model.safetensors');
    const bytes = readFileSync(file);
    const end = 8 + Number(bytes.readBigUInt64LE());
    const header = bytes.toString('utf8', 8, end).replace('"shared.', '"encoder.embed_tokens.');
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(Buffer.byteLength(header)));
    writeFileSync(file, Buffer.concat([length, Buffer.from(header), bytes.subarray(end)]));
    const embeddingAndHead = { embedding: 'int8' } as const;
    const { path } = await compressed(source, [], { embeddingAndHead });
    const { path: dense } = await compressed(source, [], { embeddingAndHead, dense: true });
    const { tensors } = await openSafetensors(join(path, 'model.safetensors'));
    expect([...tensors.keys()]).toContain('encoder.embed_tokens.quants');
    const { examples } = encoderGolden('t5-encoder');
    const [actual, expected] = [
      await encoderOutput(path, examples),
      await encoderOutput(dense, examples),
    ];
    expect(relativeError(actual, expected)).toBeLessThan(1e-5);
  });

  it('stores tied embedding and head once in one encoding, otherwise twice', async () => {
    const source = fixture('llama-tied-f16');
    const names = async (
      embeddingAndHead: EmbeddingAndHeadForms,
      dense = false,
    ): Promise<string[]> => {
      const { path } = await compressed(source, [], { embeddingAndHead, dense });
      const { tensors } = await openSafetensors(join(path, 'model.safetensors'));
      return [...tensors.keys()].filter((name) => /embed_tokens|lm_head/.test(name)).sort();
    };
    const [table, head] = ['model.embed_tokens', 'lm_head'];
    const int8 = (name: string): string[] => [`${name}.quants`, `${name}.scales`];
    expect(await names({ embedding: 'int8', head: 'int8' })).toEqual(int8(table));
    expect(await names({ head: 'int8' })).toEqual([...int8(head), `${table}.weight`]);
    expect(await names({ embedding: 'int8' })).toEqual([`${head}.weight`, ...int8(table)]);
    expect(await names({ embedding: 'int4', head: 'int8' })).toEqual([
      ...int8(head),
      ...int8(table),
    ]);
    expect(await names({ embedding: 'int8', head: 'int8' }, true)).toEqual([`${table}.weight`]);

    const config = async (
      embeddingAndHead: EmbeddingAndHeadForms,
    ): Promise<Record<string, unknown>> =>
      readConfig((await compressed(source, [], { embeddingAndHead })).path);
    const reported = { 'model.embed_tokens': { kind: 'int8', inputScale: false } };
    expect(await config({ embedding: 'int8', head: 'int8' })).toMatchObject({
      tie_word_embeddings: true,
      espalier: { compressed: { embedding: reported } },
    });
    expect(await config({ embedding: 'int8' })).toMatchObject({ tie_word_embeddings: false });
  });

  it.each<[string, EmbeddingAndHeadForms]>([
    ['one', { embedding: 'int4, portable', head: 'int4, portable' }],
    ['two', { embedding: 'int4', head: 'int8 in blocks' }],
  ])(
    'stores embedding and head %s in ONNX, and can be compressed again',
    async (count_, embeddingAndHead) => {
      const source = fixture('llama-tied-f16');
      const { path, matrices } = await compressed(source, [], { embeddingAndHead });
      const result = await prune(path, ['block.0.attention'], fresh(), { format: 'onnx' });
      const bytes = [...new Set(matrices.values())]
        .flatMap((form) => encodingTensors(form))
        .reduce((sum, { length }) => sum + length, 0);
      const { summary } = await openModel(source);
      const { out = 0, in: width = 0 } =
        (await openModel(source)).embeddingAndHeadMatrices[0] ?? {};
      const dense = summary.bytes - 2 * out * width;
      const data = result.files.find(({ name }) => name.endsWith('.onnx_data'))?.bytes ?? 0;
      expect(data).toBeLessThan(dense + bytes);
      expect(count_ === 'one').toBe(new Set(matrices.values()).size === 1);
      const graph = await openModel(join(result.path, 'model.onnx'));
      expect(graph.summary.sublayers).toHaveLength(summary.sublayers.length - 1);
    },
  );

  it('from a graph with tied embeddings equals one from separate matrices', async () => {
    const { path: folder } = await prune(
      fixture('llama-tied-f16'),
      ['block.0.attention'],
      fresh(),
      {
        format: 'onnx',
      },
    );
    const tied = join(folder, 'model.onnx');
    const { embeddingAndHeadMatrices } = await openModel(tied);
    expect(
      embeddingAndHeadMatrices.map(({ place, tiedTo }) => [place, tiedTo !== undefined]),
    ).toEqual([
      ['embedding', true],
      ['head', true],
    ]);
    const apart = onnxFixture('llama-legacy');
    const [table = '', head = ''] = embeddingAndHeadMatrices.map(({ id }) => id);
    const [other = '', second = ''] = (await openModel(apart)).embeddingAndHeadMatrices.map(
      ({ id }) => id,
    );
    const cases: [string, EmbeddingAndHeadForms, string[]][] = [
      [tied, { embedding: 'int8', head: 'int8' }, []],
      [tied, { embedding: 'int4', head: 'int8' }, []],
      [tied, { embedding: 'int4' }, [table]],
      [tied, { head: 'int4' }, [table]],
      [apart, { embedding: 'int8 in blocks', head: 'int4, asymmetric' }, []],
      [apart, { embedding: 'int8' }, [second]],
      [apart, { head: 'int8' }, [other]],
    ];
    expect(head).toBe(`${table}:head`);
    for (const [source, embeddingAndHead, dense] of cases) {
      const forms = formsOutside(
        (await openModel(source)).embeddingAndHeadMatrices,
        embeddingAndHead,
      );
      const matrices = await storeEncodings(`${fresh()}.safetensors`, forms);
      const result = await prune(source, [], fresh(), { matrices, format: 'onnx' });
      const { initializers } = await openOnnx(join(result.path, 'model.onnx'));
      const again = await openModel(join(result.path, 'model.onnx'));
      expect(again.summary.sublayers).toEqual((await openModel(source)).summary.sublayers);
      expect(again.embeddingAndHeadMatrices.map(({ weight }) => weight.name)).toEqual(dense);
      expect([table, other, second].filter((name) => initializers.has(name))).toEqual(dense);
      const quants = [...initializers.keys()].filter((name) => name.endsWith('.quants'));
      expect(quants).toHaveLength(new Set(forms.values()).size);
    }
  });

  it('is refused if one matrix of transformers would become two', async () => {
    const model = encoderFixture('bert-masked');
    const written = compressed(model, [], { embeddingAndHead: { head: 'int8' } });
    await expect(written).rejects.toFailWith({
      ...{ code: 'tied-embedding', file: 'bert-masked', field: 'safetensors auto-map' },
      remedy: /Compress both in the same way/,
    });
  });

  it('becomes ONNX', async () => {
    const { path } = await compressed(fixture('phi3'), ['low rank', 'mpo, contracted']);
    const result = await prune(path, [], fresh(), { format: 'onnx' });
    expect(result.verification.relativeError).toBeLessThan(1e-5);
  });

  it('becomes ONNX with bit-exact checks if integers quantize the inputs', async () => {
    const source = fixture('qwen3-moe');
    const layers = listLayers(await openModel(source)).filter(({ id }) => id.includes('self_attn'));
    const matrices = await storeEncodings(`${fresh()}.safetensors`, formsInTurn(layers));
    const result = await prune(source, [], fresh(), { format: 'onnx', matrices });
    expect(result.verification.tolerance).toBe(1e-4);
    expect(result.verification.relativeError).toBeLessThan(1e-6);
  });

  it('is a standard model if only values of matrices change', async () => {
    const { path } = await compressed(fixture('llama-sharded'), ['int4'], { dense: true });
    expect(readConfig(path)).toEqual(readConfig(fixture('llama-sharded')));
  });

  const spoil = async (
    change: (compressedEncodings: Record<string, Record<string, unknown>>) => void,
    files: (path: string) => void = () => undefined,
  ): Promise<string> => {
    const { path } = await compressed(fixture('qwen2'), ['low rank', 'mpo, chained', 'int4']);
    const config = readConfig(path) as {
      espalier: { compressed: Record<string, Record<string, unknown>> };
    };
    change(config.espalier.compressed);
    writeFileSync(join(path, 'config.json'), JSON.stringify(config));
    files(path);
    return (await rejection(openModel(path))).message;
  };

  it.each<[string, unknown, RegExp]>([
    [
      'another rank',
      { kind: 'low-rank', rank: 5, left: { kind: 'dense' }, right: { kind: 'dense' } },
      /don't share the rank 5/,
    ],
    [
      'a rank beyond all numbers',
      { kind: 'low-rank', rank: 1e300, left: { kind: 'dense' }, right: { kind: 'dense' } },
      /rank/,
    ],
    [
      'sites of another size',
      {
        kind: 'mpo',
        sites: { out: [2, 2], in: [2, 2] },
        bonds: [1],
        run: 'chained',
        inputScale: false,
      },
      /lacks this tensor|cannot replace|expected/,
    ],
    [
      'too many sites',
      {
        kind: 'mpo',
        sites: { out: new Array(17).fill(1), in: new Array(17).fill(1) },
        bonds: new Array(16).fill(1),
        run: 'chained',
        inputScale: false,
      },
      /sites/,
    ],
    ['another kind', { kind: 'int8', inputScale: false }, /lacks this tensor/],
    ['no kind that there is', { kind: 'int2' }, /kind/],
    [
      'a block of no size',
      { kind: 'group-quantized', bits: 4, groupSize: 24, zeros: false, run: 'qdq' },
      /power of 2/,
    ],
  ])('is refused if config.json contains %s', async (_, spec, problem) => {
    const message = await spoil((forms) => {
      const attention = forms['block.0.attention'] ?? {};
      attention['self_attn.q_proj'] = spec;
    });
    expect(message).toMatch(/config\.json|model\.safetensors/);
    expect(message).toMatch(/self_attn\.q_proj/);
    expect(message).toMatch(problem);
  });

  it('is refused if an encoding belongs to no layer or is missing', async () => {
    const spare = await spoil((forms) => {
      forms['block.0.attention'] = {
        ...forms['block.0.attention'],
        'self_attn.x': { kind: 'int8', inputScale: false },
      };
    });
    expect(spare).toMatch(
      /espalier\.compressed\.block\.0\.attention\.self_attn\.x.*no linear layer/,
    );
    const untold = await spoil((forms) => {
      delete forms['block.1.feedforward'];
    });
    expect(untold).toMatch(/model\.layers\.1\.mlp\..*weight: The checkpoint lacks this tensor/);
  });
});
