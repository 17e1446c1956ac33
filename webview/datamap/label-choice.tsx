import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import { strings } from './strings';
import type { Overview } from './types';

interface LabelChoiceProps {
  /** Name of the example, for screen readers. */
  readonly name: string;
  /** Class in the dataset. */
  readonly label: string;
  /** Class suggested by the models, if the label is suspected. */
  readonly suggested: string | undefined;
  /** Class assigned by the user, if it differs. */
  readonly chosen: string | undefined;
  readonly classes: Overview['classes'];
  /** Undefined for the class that it has. */
  readonly onChoose: (label: string | undefined) => void;
}

/** Gives an example another class: a native list, which the first letters of a name choose from. */
export function LabelChoice(props: LabelChoiceProps): VNode {
  const { name, label, suggested, chosen, classes, onChoose } = props;
  // Classes are listed once somebody looks: a page of examples would have thousands of options.
  const [isWhole, setWhole] = useState(false);
  const others = new Set([
    ...[suggested, chosen].filter((one) => one !== undefined),
    ...(isWhole ? classes.map((one) => one.name) : []),
  ]);
  others.delete(label);
  const open = () => {
    setWhole(true);
  };
  return (
    <select
      class="dropdown new-label"
      aria-label={strings.newLabelOf(name)}
      title={strings.newLabel}
      value={chosen ?? label}
      onFocus={open}
      onPointerDown={open}
      onChange={({ currentTarget: { value } }) => {
        onChoose(value === label ? undefined : value);
      }}
    >
      <option value={label}>{strings.labelKept(label)}</option>
      {[...others].map((one) => (
        <option key={one} value={one}>
          {one === suggested ? strings.labelSuggested(one) : one}
        </option>
      ))}
    </select>
  );
}
