import assert from 'node:assert/strict';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import * as vscode from 'vscode';
import { placeFixture, until, workspacePath } from './support';

describe('a plan as a task', () => {
  /** Runs a task. @returns its exit code */
  const run = async (task: vscode.Task): Promise<number | undefined> => {
    const ended = new Promise<number | undefined>((resolve) => {
      const listener = vscode.tasks.onDidEndTaskProcess(({ execution, exitCode }) => {
        if (execution.task.name === task.name) {
          listener.dispose();
          resolve(exitCode);
        }
      });
    });
    await vscode.tasks.executeTask(task);
    return ended;
  };

  /** A task by its name, once the editor has read what is new. */
  const named = async (name: string): Promise<vscode.Task> =>
    until(`a task ${name}`, async () => {
      const all = await vscode.tasks.fetchTasks({ type: 'espalier' });
      return all.find((one) => one.name === name);
    });

  it('is found, writes the model, and fails if its limits are not met', async () => {
    await placeFixture('llama-gqa-untied', 'built');
    const plan = {
      ...{ format: 'espalier.plan', version: 1, model: { path: 'built' } },
      remove: ['block.1.attention'],
    };
    await writeFile(workspacePath('built.plan.json'), JSON.stringify(plan));
    const task = await named('apply built.plan.json');
    assert.equal(task.group, vscode.TaskGroup.Build);
    assert.equal(await run(task), 0);
    assert.ok((await readdir(workspacePath('built-applied'))).includes('config.json'));

    const own = {
      ...{ type: 'espalier', label: 'much smaller', plan: 'built.plan.json', out: 'strict' },
      options: ['--require', 'size<-99%'],
    };
    await mkdir(workspacePath('.vscode'), { recursive: true });
    await writeFile(
      workspacePath('.vscode', 'tasks.json'),
      JSON.stringify({ version: '2.0.0', tasks: [own] }),
    );
    const strict = await named(own.label);
    assert.equal(await run(strict), 1);
    assert.ok((await readdir(workspacePath('strict'))).includes('config.json'));
  });
});
