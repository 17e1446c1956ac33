import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import * as vscode from 'vscode';

/** Goes back to the question before. */
export const back = Symbol('back');
/** A row by its label, or a text; undefined closes the question. */
type Answer = string | typeof back | undefined;

type Input = vscode.QuickPick<vscode.QuickPickItem> | vscode.InputBox;

/** A question as the user saw it. */
export interface Asked {
  readonly title: string;
  readonly hasBack: boolean;
  /** Labels of the rows, or what stood in the box. */
  readonly offered: readonly string[];
  readonly descriptions: readonly string[];
  /** The row that was chosen when the question appeared. */
  readonly active: string | undefined;
}

/**
 * Answers the questions that come while something runs, in the window as a user does.
 * @returns what was asked as well
 */
export async function answering<T>(
  answers: readonly Answer[],
  run: () => PromiseLike<T>,
): Promise<{ readonly asked: readonly Asked[]; readonly result: T }> {
  const { createQuickPick, createInputBox } = vscode.window;
  const left = [...answers];
  const asked: Asked[] = [];
  const failures: unknown[] = [];
  const watched = <I extends Input>(input: I): I => {
    const show = input.show.bind(input);
    input.show = () => {
      asked.push(seen(input));
      show();
      assert.ok(left.length > 0, `no answer to: ${input.title}`);
      answer(input, left.shift()).catch((error: unknown) => {
        failures.push(error);
        input.hide();
      });
    };
    return input;
  };
  Object.assign(vscode.window, {
    createQuickPick: () => watched(createQuickPick()),
    createInputBox: () => watched(createInputBox()),
  });
  try {
    const result = await run();
    assert.deepEqual(failures, []);
    assert.deepEqual(left, []);
    return { asked, result };
  } finally {
    Object.assign(vscode.window, { createQuickPick, createInputBox });
  }
}

function seen(input: Input): Asked {
  const { title = '', step, totalSteps, buttons } = input;
  return {
    title: step === undefined ? title : `${title} (${step}/${totalSteps})`,
    hasBack: buttons.includes(vscode.QuickInputButtons.Back),
    offered: 'items' in input ? input.items.map(({ label }) => label) : [input.value],
    descriptions: 'items' in input ? input.items.map(({ description = '' }) => description) : [],
    active: 'items' in input ? input.activeItems[0]?.label : undefined,
  };
}

/** Time limit of a question that doesn't take its answer. What takes so long hangs. */
const patienceMilliseconds = 240_000;

async function answer(input: Input, answer: Answer): Promise<void> {
  const hidden = new Promise<true>((resolve) => {
    input.onDidHide(() => {
      resolve(true);
    });
  });
  const command =
    answer === undefined
      ? 'closeQuickOpen'
      : answer === back
        ? 'quickInputBack'
        : 'acceptSelectedQuickOpenItem';
  // Keys sent before the window has drawn the question are ignored.
  for (const end = Date.now() + patienceMilliseconds; Date.now() < end;) {
    await sleep(200);
    if (typeof answer === 'string') take(input, answer);
    await sleep(100);
    await vscode.commands.executeCommand(`workbench.action.${command}`);
    if (await Promise.race([hidden, sleep(1000, false)])) return;
  }
  throw new Error(`the question stays: ${input.title}`);
}

/** Moves to a row, or types. */
function take(input: Input, answer: string): void {
  if ('items' in input) {
    const row = input.items.find(({ label }) => label === answer);
    assert.ok(row, `${answer} among ${input.items.map(({ label }) => label).join(', ')}`);
    input.activeItems = [row];
  } else {
    input.value = answer;
  }
}
