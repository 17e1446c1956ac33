import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as vscode from 'vscode';
import type { Espalier } from '../../extension/host';
import { activate, placeFixture, until, workspacePath } from './support';

describe('editors', () => {
  let espalier: Espalier;
  let path: string;

  before(async () => {
    espalier = await activate();
    path = await placeFixture('llama-gqa-untied', 'edited');
  });

  after(() => vscode.commands.executeCommand('workbench.action.closeAllEditors'));

  const readLenses = async (uri: vscode.Uri): Promise<string[]> => {
    await vscode.window.showTextDocument(uri);
    const lenses = await vscode.commands.executeCommand<vscode.CodeLens[]>(
      'vscode.executeCodeLensProvider',
      uri,
      10,
    );
    return lenses.flatMap(({ command }) =>
      command?.command.startsWith('espalier.') === true ? [command.title] : [],
    );
  };
  const writePlan = async (name: string, fields: object): Promise<vscode.Uri> => {
    const uri = vscode.Uri.file(workspacePath(`${name}.plan.json`));
    const plan = { format: 'espalier.plan', version: 1, model: { path: 'edited' }, ...fields };
    await writeFile(uri.fsPath, JSON.stringify(plan, undefined, 2));
    return uri;
  };
  const findProblems = (uri: vscode.Uri): vscode.Diagnostic[] =>
    vscode.languages.getDiagnostics(uri).filter(({ source }) => source === 'Espalier');

  it('a config.json names the model and its actions', async () => {
    const titles = await readLenses(vscode.Uri.file(join(path, 'config.json')));
    const { blocks } = await espalier.models.summary(path);
    assert.match(
      titles[0] ?? '',
      new RegExp(`^Espalier: ${blocks} blocks · ${blocks * 2} sublayers · [\\d.]+ K parameters$`),
    );
    assert.deepEqual(titles.slice(1), ['Open explorer', 'Open heatmap', 'Profile']);
  });

  it('a config.json explains its numbers on hover', async () => {
    const uri = vscode.Uri.file(join(path, 'config.json'));
    const { document } = await vscode.window.showTextDocument(uri);
    const textAt = async (field: string): Promise<string> => {
      const position = document.positionAt(document.getText().indexOf(`"${field}"`) + 2);
      const hovers = await vscode.commands.executeCommand<vscode.Hover[]>(
        'vscode.executeHoverProvider',
        uri,
        position,
      );
      return hovers
        .flatMap(({ contents }) => contents)
        .map((content) => (content instanceof vscode.MarkdownString ? content.value : ''))
        .join('\n');
    };
    assert.match(await textAt('num_key_value_heads'), /shared by 2 query heads.*takes 768 B/s);
    assert.match(await textAt('vocab_size'), /rows of the token embedding and of the LM head/);
    assert.match(await textAt('num_hidden_layers'), /parameters\*\* depend on it: \d+/);
    assert.equal(await textAt('bos_token_id'), '');
  });

  it('other config.json files are left alone', async () => {
    const uri = vscode.Uri.file(workspacePath('config.json'));
    await writeFile(uri.fsPath, '{ "port": 8080 }\n');
    assert.deepEqual(await readLenses(uri), []);
  });

  it('a plan lists its removals', async () => {
    const uri = await writePlan('good', { remove: ['block.0.attention', 'block.1'] });
    const [summary, ...actions] = await readLenses(uri);
    assert.match(summary ?? '', /^Removes 3 of \d+ sublayers \(\d/);
    assert.deepEqual(actions, ['Prune…', 'Open in heatmap', 'Evaluate']);
    assert.deepEqual(findProblems(uri), []);
  });

  it('marks an unknown sublayer at its line until it is fixed', async () => {
    const uri = await writePlan('bad', { remove: ['block.0.atention'] });
    const editor = await vscode.window.showTextDocument(uri);
    const [problem] = await until('a diagnostic', () => {
      const problems = findProblems(uri);
      return problems.length > 0 && problems;
    });
    assert.ok(problem);
    assert.match(problem.message, /atention/);
    assert.match(editor.document.getText(problem.range), /atention/);
    await editor.edit((edit) => {
      edit.replace(problem.range, '"block.0.attention"');
    });
    await until('no diagnostic', () => findProblems(uri).length === 0);
  });

  it('marks an id that the model does not have', async () => {
    const uri = await writePlan('beyond', { remove: ['block.77.attention'] });
    await vscode.window.showTextDocument(uri);
    await until('a diagnostic', () =>
      findProblems(uri).some(({ message }) => message.includes('block.77')),
    );
  });

  it('marks compressions that the model does not support, and suggests similar names', async () => {
    const tensor = 'model.layers.0.mlp.up_proj.weight';
    const uri = await writePlan('compressions', {
      remove: ['block.1'],
      compress: [
        { tensor, method: 'int4', setting: 32 },
        { tensor: 'model.layers.0.mlp.up_prj.weight', method: 'int4', setting: 32 },
        { tensor: 'model.layers.1.mlp.up_proj.weight', method: 'int4', setting: 32 },
      ],
    });
    const { document } = await vscode.window.showTextDocument(uri);
    const problems = await until('both diagnostics', () => {
      const found = findProblems(uri);
      return found.length === 2 && found;
    });
    assert.deepEqual(
      problems.map(({ range }) => document.getText(range)),
      ['"model.layers.0.mlp.up_prj.weight"', '"model.layers.1.mlp.up_proj.weight"'],
    );
    assert.ok(problems[0]?.message.includes(tensor));
    assert.match(problems[1]?.message ?? '', /removed/);
  });

  it('a plan is checked against its contributed schema', async () => {
    const uri = await writePlan('schema', { remove: [], keep: 'everything' });
    await vscode.window.showTextDocument(uri);
    await until('a complaint of the schema', () =>
      vscode.languages
        .getDiagnostics(uri)
        .some(({ source, message }) => source !== 'Espalier' && message.includes('keep')),
    );
  });

  it('warns of a plan that was made for another model', async () => {
    const uri = await writePlan('other', {
      model: { path: 'edited', fingerprint: '0'.repeat(64) },
      remove: ['block.0.attention'],
    });
    await vscode.window.showTextDocument(uri);
    const problem = await until('a diagnostic', () => findProblems(uri)[0]);
    assert.equal(problem.severity, vscode.DiagnosticSeverity.Warning);
  });

  it('reports a missing model folder', async () => {
    const uri = await writePlan('lost', { model: { path: 'nowhere' }, remove: [] });
    const { document } = await vscode.window.showTextDocument(uri);
    const problem = await until('a diagnostic', () => findProblems(uri)[0]);
    assert.equal(document.getText(problem.range), '"nowhere"');
  });
});
