import assert from 'node:assert/strict';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import * as vscode from 'vscode';
import type { ModelDescription } from '../../extension/core/inspect/model-description';
import type { ApplyResult } from '../../extension/core/operations/apply-plan';
import type { PruneResult } from '../../extension/core/pipelines/prune-result';
import type { Espalier } from '../../extension/host';
import type { ExplorerSession } from '../../extension/services/sessions/explorer-session';
import { answering } from './answers';
import {
  activate,
  configure,
  placeFile,
  placeFixture,
  shortSearch,
  until,
  workspacePath,
} from './support';

describe('Models in one file', () => {
  let espalier: Espalier;
  let gguf: string;
  let onnx: string;

  before(async () => {
    espalier = await activate();
    gguf = await placeFile(['gguf', 'llama.gguf'], 'tiny.Q4_0.gguf');
    onnx = await placeFile(['onnx', 'gpt2-legacy', 'model.onnx'], 'tiny.onnx');
    await configure({ ...shortSearch, 'search.granularity': 'block' });
  });

  after(async () => {
    await configure({ 'search.granularity': undefined });
  });

  const inspect = async (path: string): Promise<ModelDescription> => {
    const session = await vscode.commands.executeCommand<ExplorerSession | undefined>(
      'espalier.inspectModel',
      vscode.Uri.file(path),
    );
    assert.ok(session?.model);
    return session.model;
  };
  const listSublayers = ({ blocks }: ModelDescription): string[] =>
    blocks.flatMap(({ sublayers }) => sublayers.map(({ id }) => id));

  it('are found in the workspace', async () => {
    await until('the two files', () =>
      [gguf, onnx].every((path) => espalier.folders.folders.some((place) => place.fsPath === path)),
    );
  });

  it('are inspected', async () => {
    const ggufModel = await inspect(gguf);
    assert.equal(ggufModel.family, 'llama');
    assert.ok(listSublayers(ggufModel).includes('block.1.feedforward'));
    assert.ok(listSublayers(await inspect(onnx)).includes('block.1.feedforward'));
  });

  it('of GGUF suggest types and blocks if they cannot be compressed or repaired', async () => {
    const uri = vscode.Uri.file(gguf);
    for (const [command, first] of [
      ['compressModel', 'Types of the tensors…'],
      ['profileSensitivity', 'Types of the tensors…'],
      ['repairModel', 'Repair another model…'],
    ] as const) {
      const { asked } = await answering([undefined], () =>
        vscode.commands.executeCommand(`espalier.${command}`, uri),
      );
      assert.equal(asked[0]?.offered[0], first);
      assert.ok(asked[0].offered.includes('Blocks and sublayers…'));
    }
    const session = await espalier.compressionSessions.open(gguf);
    const { types } = session.snapshot();
    assert.ok(types.some(({ size, bytes }) => size === 'Q8_0' && bytes > 0));
  });

  it('are shown with type, size and context menu', async () => {
    const item = await espalier.modelsView.getTreeItem(vscode.Uri.file(gguf));
    assert.match(String(item.description), /^F16 · [\d.]+ KiB · llama · /);
    assert.match(String(item.contextValue), /^model\b/);
    assert.equal(item.command?.command, 'espalier.inspectModel');
    const broken = await espalier.modelsView.getTreeItem(vscode.Uri.file(`${gguf}.missing`));
    assert.equal(broken.contextValue, 'broken');
  });

  it('are profiled, and a GGUF file is pruned to one', async () => {
    await vscode.commands.executeCommand('espalier.profileLayers', vscode.Uri.file(gguf));
    const session = await espalier.sessions.open(gguf);
    assert.equal(session.profilePath, workspacePath('tiny.Q4_0.layerprofile.json'));
    assert.equal(session.profile?.rounds.length, 1);
    assert.deepEqual(
      session.snapshot().configPreview.lines.map(({ line }) => line),
      ['general.architecture = llama', 'block_count = 2', 'block_count = 1'],
    );
    const out = workspacePath('tiny-pruned');
    const result = await vscode.commands.executeCommand<PruneResult>(
      'espalier.pruneLayers',
      vscode.Uri.file(gguf),
      { format: 'gguf', out },
    );
    assert.equal(result.format, 'gguf');
    assert.deepEqual((await readdir(out)).sort(), ['espalier.json', 'tiny.Q4_0.gguf']);
    assert.equal((await espalier.models.summary(join(out, 'tiny.Q4_0.gguf'))).blocks, 1);
  });

  it('are profiled on random examples if they take no text, and an ONNX file is pruned to ONNX', async () => {
    const vit = await placeFile(['onnx', 'vit-legacy', 'model.onnx'], 'tiny-vit.onnx');
    await vscode.commands.executeCommand('espalier.profileLayers', vscode.Uri.file(vit));
    const session = await espalier.sessions.open(vit);
    assert.match(session.profile?.calibration.source ?? '', /^random \(seed \d+\)$/);
    assert.equal(session.profile?.rounds.length, 1);
    session.chooseRounds(1);
    const out = workspacePath('tiny-vit-pruned');
    const result = await vscode.commands.executeCommand<PruneResult>(
      'espalier.pruneLayers',
      vscode.Uri.file(vit),
      { out },
    );
    assert.equal(result.format, 'onnx');
    assert.ok(result.verification.relativeError < 1e-4);
    const written = await espalier.models.summary(join(out, 'tiny-vit.onnx'));
    assert.equal(written.name, 'tiny-vit-pruned');
    assert.equal(written.blocks, 1);
  });

  it('are written from a folder, in the type that was asked for, and with other types again', async () => {
    const source = await placeFixture('llama-gqa-untied', 'to-gguf');
    const write = async (from: string, type: string, out: string): Promise<string[]> => {
      const result = await vscode.commands.executeCommand<ApplyResult>(
        'espalier.convertModel',
        vscode.Uri.file(from),
        { format: 'gguf', type, out: workspacePath(out) },
      );
      const [file] = (await readdir(result.path)).filter((name) => name.endsWith('.gguf'));
      const { dtypes } = await espalier.models.summary(join(result.path, file ?? ''));
      return [join(result.path, file ?? ''), ...Object.keys(dtypes)];
    };
    const [first = '', ...types] = await write(source, 'Q8_0', 'to-gguf-Q8_0');
    assert.ok(types.includes('Q8_0'));
    const [, ...again] = await write(first, 'Q4_0', 'to-gguf-Q4_0');
    assert.ok(again.includes('Q4_0'));
  });

  it('are refused with a reason if the model has no other format', async () => {
    const result = await vscode.commands.executeCommand(
      'espalier.convertModel',
      vscode.Uri.file(onnx),
      { format: 'gguf', out: workspacePath('never') },
    );
    assert.equal(result, undefined);
    await assert.rejects(stat(workspacePath('never')));
  });

  it('are refused with a reason if only a single sublayer is removed', async () => {
    const session = await espalier.sessions.open(gguf);
    session.chooseRounds(0);
    session.chooseMark('block.0.attention', 'removed');
    assert.match(
      session.snapshot().configPreview.loadsWith,
      /block\.0\.attention would be removed/,
    );
    const out = workspacePath('torn');
    const result = await vscode.commands.executeCommand(
      'espalier.pruneLayers',
      vscode.Uri.file(gguf),
      { format: 'gguf', out },
    );
    assert.equal(result, undefined);
    assert.ok(session.job.kind === 'stopped');
    assert.match(session.job.message, /size of the heads from the first block/);
    await assert.rejects(stat(out));
  });
});
