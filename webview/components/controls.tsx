import type { FunctionComponent, HTMLAttributes, VNode } from 'preact';
import { useLayoutEffect, useRef, useState } from 'preact/hooks';

/** An element of the toolkit, whose attributes are those of any element and some of its own. */
const element = <Own,>(name: string) =>
  name as unknown as FunctionComponent<Own & HTMLAttributes<ToolkitElement>>;

interface ToolkitElement extends HTMLElement {
  value: string;
  checked: boolean;
}

const VsButton = element<{ appearance: string; disabled: boolean }>('vscode-button');
const VsDropdown = element<object>('vscode-dropdown');
const VsOption = element<{ value: string }>('vscode-option');
const VsTextField = element<{ placeholder: string }>('vscode-text-field');
const VsCheckbox = element<object>('vscode-checkbox');

export interface ButtonProps {
  readonly label: string;
  readonly onClick: () => void;
  readonly primary?: boolean | undefined;
  /** Reason why the button is disabled, if it is; shown as its tooltip. */
  readonly reason?: string | undefined;
  readonly title?: string | undefined;
  readonly hidden?: boolean | undefined;
  /** State of a toggle button. */
  readonly pressed?: boolean;
}

export function Button(props: ButtonProps): VNode {
  const { label, onClick, primary = false, reason, title, hidden = false, pressed } = props;
  return (
    <VsButton
      appearance={primary ? 'primary' : 'secondary'}
      disabled={reason !== undefined}
      title={reason ?? title}
      hidden={hidden}
      aria-pressed={pressed}
      onClick={() => {
        if (reason === undefined) onClick();
      }}
    >
      {label}
    </VsButton>
  );
}

export interface Option<T extends string> {
  readonly value: T;
  readonly label: string;
}

interface DropdownProps<T extends string> {
  readonly label: string;
  readonly options: readonly Option<T>[];
  readonly value: T;
  readonly onChange: (value: T) => void;
}

/** Limit on the number of options: the toolkit creates an element for each, which is slow. */
const mostOptions = 50;

export function Dropdown<T extends string>(props: DropdownProps<T>): VNode {
  if (props.options.length > mostOptions) return <LongList {...props} />;
  // Other options make another element: the toolkit reads them when it starts.
  return <OptionList key={props.options.map(({ label }) => label).join('\n')} {...props} />;
}

function LongList<T extends string>({ label, options, value, onChange }: DropdownProps<T>): VNode {
  return (
    <select
      class="dropdown"
      aria-label={label}
      title={label}
      value={value}
      onChange={({ currentTarget }) => {
        const chosen = options[currentTarget.selectedIndex];
        if (chosen !== undefined) onChange(chosen.value);
      }}
    >
      {options.map((option) => (
        <option key={option.value} value={option.value}>
          {option.label}
        </option>
      ))}
    </select>
  );
}

function OptionList<T extends string>({
  label,
  options,
  value,
  onChange,
}: DropdownProps<T>): VNode {
  const list = useRef<ToolkitElement>(null);
  const [first] = useState(value);
  useLayoutEffect(() => {
    if (list.current !== null && value !== first) list.current.value = value;
  }, [value, first]);
  return (
    <VsDropdown
      ref={list}
      aria-label={label}
      title={label}
      onChange={({ currentTarget }) => {
        const chosen = options.find((option) => option.value === currentTarget.value);
        if (chosen !== undefined && chosen.value !== value) onChange(chosen.value);
      }}
    >
      {options.map((option) => (
        <VsOption
          key={option.value}
          value={option.value}
          // The toolkit looks for the attribute, not for the property that Preact would set.
          ref={(made: ToolkitElement | null) => {
            made?.toggleAttribute('selected', option.value === first);
          }}
        >
          {option.label}
        </VsOption>
      ))}
    </VsDropdown>
  );
}

interface TextFieldProps {
  readonly label: string;
  /** Initial text of the field. */
  readonly value: string;
  readonly onInput: (value: string) => void;
  readonly class?: string;
  /** Placeholder of an empty field; the label if it is shown nowhere else. */
  readonly placeholder?: string;
}

export function TextField({
  label,
  value,
  onInput,
  class: name,
  placeholder = label,
}: TextFieldProps): VNode {
  const field = useRef<ToolkitElement>(null);
  useLayoutEffect(() => {
    // Not a property: Preact would write it again and again over what is typed.
    field.current?.setAttribute('value', value);
  }, []);
  // The toolkit names a field by its content, which the stylesheet hides, even if it has an aria-label.
  return (
    <VsTextField
      ref={field}
      class={name}
      placeholder={placeholder}
      onInput={({ currentTarget }) => {
        onInput(currentTarget.value);
      }}
    >
      {label}
    </VsTextField>
  );
}

interface CheckboxProps {
  readonly label: string;
  readonly checked: boolean;
  readonly onChange: (checked: boolean) => void;
}

export function Checkbox({ label, checked, onChange }: CheckboxProps): VNode {
  const box = useRef<ToolkitElement>(null);
  useLayoutEffect(() => {
    if (box.current !== null) box.current.checked = checked;
  }, [checked]);
  return (
    <VsCheckbox
      ref={box}
      onChange={({ currentTarget }) => {
        // The toolkit fires the same event for a change by the program as for a click.
        if (currentTarget.checked !== checked) onChange(currentTarget.checked);
      }}
    >
      {label}
    </VsCheckbox>
  );
}
