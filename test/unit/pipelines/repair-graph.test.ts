import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { compressModel } from '../../../extension/core/pipelines/compression/compress-model';
import { repairModel } from '../../../extension/core/pipelines/compression/repair-model';
import type {
  RepairRequest,
  RepairResult,
} from '../../../extension/core/pipelines/compression/repair-model';
import { unattended } from '../../../extension/core/jobs/job';
import type { JobContext } from '../../../extension/core/jobs/job';
import { openModel, openModelFiles } from '../../../extension/core/models/open-model';
import { OnnxLayeredModel } from '../../../extension/core/models/onnx/onnx-layered-model';
import { runWholeGraph } from '../../../extension/core/runtime/whole-graph';
import type { Compression } from '../../../extension/core/tensornet/compression-choice';
import { defaultRepair } from '../../../extension/core/tensornet/repair/repair-settings';
import { fixture, relativeError } from '../fixtures';
import { listLayers, computeOutputs } from '../models/encodings/layered';
import { graphExample, onnxFixture } from '../onnx-fixtures';
import { temporaryFolder } from '../temporary-folder';
import { inEnglish } from '../../../extension/core/message';
import type { Message } from '../../../extension/core/message';
import { runningError } from '../../../extension/core/export/verify';

const folder = temporaryFolder();
let count = 0;
const fresh = (): string => join(folder, String(count++));
const where = { device: 'cpu', memoryBytes: 1 << 28, overwrite: false } as const;
const text = { file: 'random', sequences: 12, length: 12 };

function encoder(name: string): string {
  return join(import.meta.dirname, '../../fixtures/encoders', name);
}

/** The graph with every linear layer compressed. */
async function compressed(name: string, compression: Compression): Promise<string> {
  const model = await openModel(onnxFixture(name));
  const choices = listLayers(model).map(({ id }) => ({ tensor: id, ...compression }));
  const out = fresh();
  await compressModel(
    { ...where, model: await openModelFiles(onnxFixture(name)), choices, out },
    unattended,
  );
  return join(out, 'model.onnx');
}

async function repair(
  name: string,
  model: string,
  more: Partial<Omit<RepairRequest, 'teacher'>> & { teacher?: string } = {},
  context: JobContext = unattended,
): Promise<RepairResult> {
  const { teacher = onnxFixture(name), ...others } = more;
  return repairModel(
    {
      ...where,
      model: await openModelFiles(model),
      teacher: await openModelFiles(teacher),
      text,
      bundledText: '',
      trains: 'compressed',
      ...{ settings: { ...defaultRepair, rate: 0.03 }, epochs: 3 },
      ...{ scope: 'sublayers', states: 'student', version: 'test' },
      out: fresh(),
      ...others,
    },
    context,
  );
}

/** Names of the initializers but those of small constants. */
function readWeights({ source }: OnnxLayeredModel): string[] {
  return [...source.file.initializers.keys()]
    .filter((name) => !name.startsWith('constant_'))
    .sort();
}

describe('repair of a graph', () => {
  it.each<[string, Compression, RepairResult['unit']]>([
    ['gpt2-legacy', { method: 'lowrank', setting: 4 }, 'nats'],
    ['llama-dynamo', { method: 'mpo', setting: 6 }, 'nats'],
    ['qwen3-legacy', { method: 'int4', setting: 16 }, 'nats'],
    ['vit-legacy', { method: 'lowrank', setting: 5, then: 'int8' }, 'nats'],
    ['mobilenet-legacy', { method: 'lowrank', setting: 3 }, 'nats'],
    ['whisper-encoder-legacy', { method: 'lowrank', setting: 4 }, 'relative-squares'],
  ])('lowers the held-out loss of %s with %s', async (name, compression, unit) => {
    const model = await compressed(name, compression);
    const result = await repair(name, model);
    expect(result.unit).toBe(unit);
    expect(result.lossAfter).toBeLessThan(result.lossBefore);
    const [before, after] = [
      await OnnxLayeredModel.open(model),
      await OnnxLayeredModel.open(join(result.written?.path ?? '', 'model.onnx')),
    ];
    expect(result.slices.map(({ sublayer }) => sublayer)).toEqual(
      before.summary.sublayers.map(({ id }) => id),
    );
    expect(after.source.file.graph.node.map(({ opType }) => opType).sort()).toEqual(
      before.source.file.graph.node.map(({ opType }) => opType).sort(),
    );
    expect(readWeights(after)).toEqual(readWeights(before));
    const example = graphExample(name);
    const [old, repaired] = [
      await computeOutputs(before, [example]),
      await computeOutputs(after, [example]),
    ];
    expect(relativeError(repaired, old)).toBeGreaterThan(1e-4);
    const whole = await runWholeGraph(after.source.file.path, after, example);
    const rounds = runningError(after) === undefined ? 1e-5 : 0.05;
    expect(relativeError(whole, repaired)).toBeLessThan(rounds);
  });

  it.each(['bert-classes', 'bert-plain'])('equals %s, a folder of an encoder', async (name) => {
    const teacher = encoder(name);
    const model = await openModel(teacher);
    const choices = listLayers(model).map(({ id }) => ({
      tensor: id,
      method: 'lowrank' as const,
      setting: 4,
    }));
    const out = fresh();
    await compressModel(
      { ...where, model: await openModelFiles(teacher), choices, out },
      unattended,
    );
    const { unit, lossBefore, lossAfter } = await repair(name, out, { teacher });
    expect(unit).toBe(name === 'bert-classes' ? 'nats' : 'relative-squares');
    expect(lossAfter).toBeLessThan(lossBefore);
  });

  it('skips operators without gradient, and names them', async () => {
    const model = await compressed('bert-fused', { method: 'lowrank', setting: 4 });
    const warnings: string[] = [];
    const context = {
      ...unattended,
      warn: (message: Message) => warnings.push(inEnglish(message)),
    };
    const { slices, lossAfter, lossBefore } = await repair('bert-fused', model, {}, context);
    expect(lossAfter).toBeLessThan(lossBefore);
    expect(slices.length).toBeGreaterThan(0);
    const sliceWarnings = warnings.filter((warning) => warning.startsWith('block.'));
    expect(sliceWarnings).toHaveLength(2);
    expect(sliceWarnings[0]).toMatch(
      /^block\.0\.attention: Attention_0_qkv_weight cannot be trained\. .*MultiHeadAttention has no gradient/,
    );
  });

  it('refuses a folder as teacher, training as a whole, and another graph', async () => {
    const model = await compressed('gpt2-legacy', { method: 'lowrank', setting: 4 });
    await expect(repair('gpt2-legacy', model, { scope: 'model' })).rejects.toFailWith({
      code: 'whole-training-unsupported',
      file: 'model.onnx',
      field: 'scope',
    });
    await expect(repair('gpt2-legacy', model, { states: 'teacher' })).rejects.toFailWith({
      code: 'states-unsupported',
      file: 'model.onnx',
      field: 'states',
    });
    await expect(repair('t5-legacy', model)).rejects.toFailWith({
      code: 'teacher-mismatch',
      file: 'model.onnx',
      field: 'espalier.json',
    });
    const teacher = fixture('gpt2');
    await expect(repair('gpt2-legacy', model, { teacher })).rejects.toFailWith({
      code: 'teacher-not-original-graph',
      file: 'model.onnx',
    });
  });
});
