import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openOnnxModel } from '../../../extension/core/models/onnx/onnx-model';
import type { OnnxModel } from '../../../extension/core/models/onnx/stream/graph-stream';
import { relativeError } from '../fixtures';
import { sessionLogits, onnxCases, onnxFixture, readOnnxGolden } from '../onnx-fixtures';
import { temporaryFolder } from '../temporary-folder';
import { prune } from './pruning';
import { openSession } from '../whole-session';

const folder = temporaryFolder();
const models = new Map<string, OnnxModel>();
for (const name of onnxCases) {
  models.set(name, await openOnnxModel(onnxFixture(name)));
}
const removable = onnxCases.filter((name) => readOnnxGolden(name).removed !== undefined);

describe('a pruned ONNX file', () => {
  it.each(removable)('of %s is written, checked and opened again', async (name) => {
    const source = models.get(name);
    const golden = readOnnxGolden(name);
    const removed = golden.removed?.ids ?? [];
    const out = join(folder, name);
    const result = await prune(onnxFixture(name), removed, out, { format: 'onnx' });
    expect(result.verification.relativeError).toBeLessThan(golden.tolerance);
    expect(result.bytesAfter).toBeLessThan(result.bytesBefore);
    // Weights of up to 1 KB are part of the graph.
    const files = readdirSync(out).filter((file) => file !== 'model.onnx_data');
    expect(files.sort()).toEqual(['espalier.json', 'model.onnx']);

    const session = await openSession(join(out, 'model.onnx'));
    const logits = await sessionLogits(session, golden.feeds);
    await session.release();
    expect(relativeError(logits, golden.removed?.logits ?? logits)).toBeLessThan(golden.tolerance);

    const written = await openOnnxModel(join(out, 'model.onnx'));
    expect(written.summary.sublayers).toHaveLength(
      source?.summary.sublayers.filter(({ id }) => !removed.includes(id)).length ?? 0,
    );
    expect(written.summary.opsets).toEqual(source?.summary.opsets);
    expect(written.summary.parameters).toBe(result.parametersAfter);
    const removedIds = new Set(
      source?.summary.sublayers.flatMap(({ id, nodes }) => (removed.includes(id) ? nodes : [])),
    );
    expect(removedIds.size).toBeGreaterThan(0);
    const left = written.index.nodes.filter(
      ({ proto }) => proto.name !== '' && removedIds.has(proto.name),
    );
    expect(left).toEqual([]);
  });

  it('has no other form', async () => {
    const writing = prune(onnxFixture('gpt2-legacy'), ['block.0.attention'], join(folder, 'no'), {
      format: 'safetensors',
    });
    await expect(writing).rejects.toFailWith({
      code: 'format-not-reachable',
      file: 'model.onnx',
      field: 'format',
      remedy: /.*Choose onnx\./,
    });
  });
});
