import type { VNode } from 'preact';

interface SliderProps {
  readonly id: string;
  readonly label: string;
  readonly value: number;
  readonly least: number;
  readonly most: number;
  /** The value in words. */
  readonly text: string;
  /** Text for screen readers, instead of the number. */
  readonly spoken?: string;
  readonly onInput: (value: number) => void;
  readonly disabled?: boolean;
}

export function Slider(props: SliderProps): VNode {
  const { id, label, value, least, most, text, onInput, disabled = false } = props;
  const filled = most === least ? 0 : (value - least) / (most - least);
  return (
    <div class="slider">
      <label for={id}>{label}</label>
      <input
        type="range"
        id={id}
        min={least}
        max={most}
        step={1}
        value={value}
        disabled={disabled}
        aria-valuetext={props.spoken ?? text}
        style={{ '--filled': `${100 * filled}%` }}
        onInput={({ currentTarget }) => {
          onInput(Number(currentTarget.value));
        }}
      />
      <output for={id} class="readout">
        {text}
      </output>
    </div>
  );
}
