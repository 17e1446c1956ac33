import type { RefObject, VNode } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { Button, Checkbox, TextField } from '../components/controls';
import type { PlaygroundPanel } from './playground-panel';
import { numberFields, readPrompt } from './read-prompt';
import { strings } from './strings';

/** Focuses the prompt when the panel gets the focus for the first time. */
function useFirstFocus(prompt: RefObject<HTMLTextAreaElement | null>): void {
  useEffect(() => {
    const focus = () => {
      if (document.activeElement === document.body) prompt.current?.focus();
    };
    if (document.hasFocus()) focus();
    window.addEventListener('focus', focus, { once: true });
    return () => {
      window.removeEventListener('focus', focus);
    };
  }, [prompt]);
}

/** The prompt, and how it is continued. */
export function Form({ panel }: { readonly panel: PlaygroundPanel }): VNode {
  const view = panel.view.value;
  const isRunning = panel.get('run').kind === 'running';
  const isChat = panel.get('isChat');
  const asked = readPrompt(view, isChat);
  const wrong = 'wrong' in asked ? strings.wrong[asked.wrong] : undefined;
  const reason = panel.get('blocked') ?? wrong;
  const generate = (): void => {
    if (reason !== undefined || !('prompt' in asked)) return;
    panel.setView({ selected: undefined });
    panel.run.generate(asked.prompt);
  };
  const prompt = useRef<HTMLTextAreaElement>(null);
  useFirstFocus(prompt);
  // The text is set only once: a text that arrives later would move the caret.
  const [first] = useState(view.prompt);
  return (
    <section aria-label={strings.prompt}>
      <textarea
        ref={prompt}
        class="prompt"
        aria-label={strings.prompt}
        placeholder={strings.promptHint}
        defaultValue={first}
        onInput={({ currentTarget }) => {
          panel.setView({ prompt: currentTarget.value });
        }}
        onKeyDown={(event) => {
          if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) {
            event.preventDefault();
            generate();
          }
        }}
      />
      <div
        class="choices"
        onFocusOut={({ target }) => {
          // Stop hides: the focus would begin at the top of the page again.
          if (target instanceof HTMLElement && target.hidden) prompt.current?.focus();
        }}
      >
        <Button
          primary
          label={strings.generate}
          title={strings.generateTitle}
          reason={reason}
          onClick={generate}
        />
        <Button
          label={strings.stop}
          title={strings.stopTitle}
          hidden={!isRunning}
          onClick={panel.run.stop}
        />
        <Button
          label={strings.newChat}
          title={strings.newChatTitle}
          hidden={!panel.get('isChatTurn')}
          onClick={panel.run.newChat}
        />
        <Checkbox
          label={strings.chat}
          checked={view.chat ?? isChat}
          onChange={(chat) => {
            panel.setView({ chat });
          }}
        />
      </div>
      <div class="choices sampling" role="group" aria-label={strings.sampling}>
        {numberFields.map((name) => (
          <label key={name}>
            <span class="muted">{strings.field[name]}</span>
            <TextField
              label={strings.field[name]}
              placeholder=""
              value={view[name]}
              onInput={(value) => {
                panel.setView({ [name]: value });
              }}
            />
          </label>
        ))}
      </div>
      {wrong !== undefined && view.prompt !== '' && <p role="alert">{wrong}</p>}
    </section>
  );
}
