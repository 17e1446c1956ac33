import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import * as vscode from 'vscode';
import { answering, back } from './answers';
import { activate, placeFixture, workspacePath } from './support';

describe('questions in a row', () => {
  let model: vscode.Uri;

  before(async () => {
    await activate();
    model = vscode.Uri.file(await placeFixture('llama-gqa-untied', 'questioned'));
  });

  it('can go back with earlier answers, and use only the last ones', async () => {
    const out = workspacePath('questioned-gguf');
    const { asked } = await answering(
      ['ONNX model', back, 'GGUF', 'F16', back, back, 'GGUF', 'Q8_0', out],
      () => vscode.commands.executeCommand('espalier.convertModel', model),
    );
    assert.deepEqual(
      asked.map(({ title, hasBack, active }) => [title, hasBack, active]),
      [
        ['Convert questioned (1/2)', false, undefined],
        ['Convert questioned: new folder (2/2)', true, undefined],
        ['Convert questioned (1/2)', false, 'ONNX model'],
        ['Convert questioned (2/3)', true, undefined],
        ['Convert questioned: new folder (3/3)', true, undefined],
        ['Convert questioned (2/3)', true, 'F16'],
        ['Convert questioned (1/2)', false, 'GGUF'],
        ['Convert questioned (2/3)', true, 'F16'],
        ['Convert questioned: new folder (3/3)', true, undefined],
      ],
    );
    assert.deepEqual((await readdir(out)).sort(), ['espalier.json', 'questioned-Q8_0.gguf']);
  });

  it('show more rows as a further step, and do nothing when one is closed', async () => {
    const before = await readdir(workspacePath());
    const { asked } = await answering(['More formats…', back, undefined], () =>
      vscode.commands.executeCommand('espalier.convertModel', model),
    );
    assert.deepEqual(await readdir(workspacePath()), before);
    assert.deepEqual(
      asked.map(({ title, active }) => [title, active]),
      [
        ['Convert questioned (1/2)', undefined],
        ['Convert questioned (2/3)', undefined],
        ['Convert questioned (1/2)', 'More formats…'],
      ],
    );
  });
});
