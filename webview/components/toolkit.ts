import {
  provideVSCodeDesignSystem,
  vsCodeButton,
  vsCodeCheckbox,
  vsCodeDropdown,
  vsCodeOption,
  vsCodeTextField,
} from '@vscode/webview-ui-toolkit';
import { setAttribute, setText } from '../dom';

/**
 * The only file that knows which component library the panels use: the toolkit is archived upstream,
 * and another library replaces it here. Its data grid, progress ring and tag are left out: they set
 * inline styles, which the panels' content security policy blocks.
 */
export function registerComponents(): void {
  provideVSCodeDesignSystem().register(
    vsCodeButton(),
    vsCodeCheckbox(),
    vsCodeDropdown(),
    vsCodeOption(),
    vsCodeTextField(),
  );
}

interface Valued extends HTMLElement {
  value: string;
}

interface Checkable extends HTMLElement {
  checked: boolean;
}

export interface Button {
  readonly element: HTMLElement;
  setLabel(label: string): void;
  setPrimary(primary: boolean): void;
  /** A reason disables the button and is its tooltip; without one, `title` is. */
  setState(reason: string | undefined, title: string): void;
}

export function createButton(label: string, primary: boolean, onClick: () => void): Button {
  const element = document.createElement('vscode-button');
  element.textContent = label;
  const setPrimary = (value: boolean) => {
    setAttribute(element, 'appearance', value ? 'primary' : 'secondary');
  };
  setPrimary(primary);
  element.addEventListener('click', () => {
    if (!element.hasAttribute('disabled')) onClick();
  });
  return {
    element,
    setLabel: (text) => {
      setText(element, text);
    },
    setPrimary,
    setState: (reason, title) => {
      setAttribute(element, 'disabled', reason !== undefined);
      setAttribute(element, 'title', reason ?? title);
    },
  };
}

export interface Choices<T extends string> {
  readonly element: HTMLElement;
  setValue(value: T): void;
}

export function createDropdown<T extends string>(
  label: string,
  options: readonly { readonly value: T; readonly label: string }[],
  value: T,
  onChange: (value: T) => void,
): Choices<T> {
  const element = document.createElement('vscode-dropdown') as Valued;
  element.setAttribute('aria-label', label);
  element.setAttribute('title', label);
  for (const option of options) {
    const child = document.createElement('vscode-option');
    child.textContent = option.label;
    child.setAttribute('value', option.value);
    setAttribute(child, 'selected', option.value === value);
    element.append(child);
  }
  element.addEventListener('change', () => {
    const chosen = options.find((option) => option.value === element.value);
    if (chosen !== undefined) onChange(chosen.value);
  });
  return {
    element,
    setValue: (next) => {
      if (element.value !== next) element.value = next;
    },
  };
}

export function createTextField(
  label: string,
  value: string,
  onInput: (value: string) => void,
): HTMLElement {
  const element = document.createElement('vscode-text-field') as Valued;
  // The toolkit names a field by its content, which the stylesheet hides, whatever its aria-label.
  element.textContent = label;
  element.setAttribute('placeholder', label);
  element.setAttribute('value', value);
  element.addEventListener('input', () => {
    onInput(element.value);
  });
  return element;
}

export function createCheckbox(
  label: string,
  checked: boolean,
  onChange: (checked: boolean) => void,
): HTMLElement {
  const element = document.createElement('vscode-checkbox') as Checkable;
  element.textContent = label;
  setAttribute(element, 'checked', checked);
  element.addEventListener('change', () => {
    onChange(element.checked);
  });
  return element;
}
