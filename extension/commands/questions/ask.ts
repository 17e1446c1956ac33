import { QuickInputButtons, QuickPickItemKind, window } from 'vscode';
import type {
  Disposable,
  InputBox,
  OpenDialogOptions,
  QuickInput,
  QuickPick,
  QuickPickItem,
  SaveDialogOptions,
  Uri,
} from 'vscode';
import { back, steps } from './steps';
import type { Place } from './steps';

interface TextQuestion {
  readonly title: string;
  readonly prompt: string;
  readonly value?: string;
  /** Initially selected part of the value, as start and end. */
  readonly valueSelection?: readonly [number, number];
  /** Reason why a text is not a valid answer, if it is not. */
  readonly validateInput?: (text: string) => string | undefined | Promise<string | undefined>;
}

interface Choices<Item> {
  readonly title: string;
  readonly placeHolder?: string;
  readonly matchOnDescription?: boolean;
  readonly matchOnDetail?: boolean;
  /** Reason why a row cannot be chosen, if any; shown when the user tries. */
  readonly explainUnavailable?: (item: Item) => string | undefined;
}

/** Asks for a line of text. */
export async function askText({
  value = '',
  valueSelection,
  validateInput,
  ...texts
}: TextQuestion): Promise<string | undefined> {
  return steps().question<string, string>(
    (text) => text,
    async (place, earlier) => {
      const box = window.createInputBox();
      Object.assign(box, texts);
      box.value = earlier ?? value;
      if (earlier === undefined && valueSelection !== undefined) {
        box.valueSelection = [...valueSelection];
      }
      return asked(box, place, (answer) => [
        box.onDidChangeValue(async () => check(box, validateInput)),
        box.onDidAccept(async () => {
          if (await check(box, validateInput)) answer(box.value);
        }),
      ]);
    },
  );
}

/** Shows a validation error. Returns false if there is one, or if the text changed in the meantime. */
async function check(box: InputBox, validate: TextQuestion['validateInput']): Promise<boolean> {
  const { value } = box;
  const problem = await validate?.(value);
  if (box.value !== value) return false;
  box.validationMessage = problem;
  return problem === undefined;
}

/** Asks for one of several rows. */
export async function choose<Item extends QuickPickItem>(
  items: readonly Item[],
  { explainUnavailable, ...texts }: Choices<Item>,
): Promise<Item | undefined> {
  const find = (key: string): Item | undefined => items.find((item) => itemKey(item) === key);
  return steps().question<string, Item>(find, async (place, earlier) => {
    const pick = quickPick(items, texts);
    const before = find(earlier ?? '');
    if (before !== undefined) pick.activeItems = [before];
    return asked(pick, place, (answer) => [
      pick.onDidAccept(() => {
        const [item] = pick.selectedItems;
        const problem = item && explainUnavailable?.(item);
        // A row shows only the beginning.
        if (problem !== undefined) void window.showWarningMessage(problem);
        else if (item !== undefined) answer(itemKey(item));
      }),
    ]);
  });
}

/** Asks for any number of rows. */
export async function chooseMany<Item extends QuickPickItem>(
  items: readonly Item[],
  texts: Choices<Item>,
): Promise<readonly Item[] | undefined> {
  const among = (keys: readonly string[]): readonly Item[] =>
    items.filter((item) => keys.includes(itemKey(item)));
  return steps().question<readonly string[], readonly Item[]>(among, async (place, earlier) => {
    const pick = quickPick(items, texts);
    pick.canSelectMany = true;
    pick.selectedItems = among(earlier ?? []);
    return asked(pick, place, (answer) => [
      pick.onDidAccept(() => {
        answer(pick.selectedItems.map(itemKey));
      }),
    ]);
  });
}

function quickPick<Item extends QuickPickItem>(
  items: readonly Item[],
  { title, placeHolder, ...matching }: Choices<Item>,
): QuickPick<Item> {
  const pick = window.createQuickPick<Item>();
  Object.assign(pick, { title, placeholder: placeHolder, ...matching, items });
  return pick;
}

/** Identity of a row across runs of a command, which create new row objects. */
const itemKey = ({ label, description = '', kind }: QuickPickItem): string =>
  kind === QuickPickItemKind.Separator ? '' : `${label}\n${description}`;

/**
 * Shows a question until it is answered. It stays open when it loses the focus: while the palette or another question
 * is open, the editor may return the focus too late, and the question or the typed text would be lost. Escape closes
 * it.
 */
async function asked<Answer>(
  input: QuickInput & {
    buttons: InputBox['buttons'];
    onDidTriggerButton: InputBox['onDidTriggerButton'];
  },
  { step, total }: Place,
  listen: (answer: (answer: Answer) => void) => readonly Disposable[],
): Promise<Answer | typeof back | undefined> {
  input.ignoreFocusOut = true;
  if (total > 1) {
    input.step = step;
    input.totalSteps = total;
  }
  if (step > 1) input.buttons = [QuickInputButtons.Back];
  const listening: Disposable[] = [input];
  try {
    return await new Promise((resolve) => {
      listening.push(
        ...listen(resolve),
        input.onDidTriggerButton(() => {
          resolve(back);
        }),
        input.onDidHide(() => {
          resolve(undefined);
        }),
      );
      input.show();
    });
  } finally {
    for (const one of listening) one.dispose();
  }
}

/** Asks for a file or folder; without an answer the user returns to the previous question, if there is one. */
export async function askPath(options: OpenDialogOptions): Promise<Uri | undefined> {
  return asStep(async () => (await window.showOpenDialog(options))?.[0]);
}

/** Asks for the name of a new file, likewise. */
export async function askNewFile(options: SaveDialogOptions): Promise<Uri | undefined> {
  return asStep(async () => window.showSaveDialog(options));
}

async function asStep(ask: () => Promise<Uri | undefined>): Promise<Uri | undefined> {
  const uri = await steps().once(ask);
  if (uri === undefined) steps().goBack();
  return uri;
}
