import type { HeatmapState, ToHeatmap } from '../../extension/protocol/heatmap';
import { patched } from '../patched';
import type { Choice } from './draft';
import { withChoice } from './draft';
import { expandSublayers } from './selection';
import type { Mark } from './types';

/** How long a choice may show before the host has confirmed it. */
export const CHOICE_MILLISECONDS = 1500;

/** The host's state, and over it what the user has chosen since. */
export class PanelStore {
  private confirmed: HeatmapState | undefined;
  private choices: readonly Choice[] = [];
  private chosenAt = 0;

  /** What to draw; undefined until the host has answered `ready`. */
  public get state(): HeatmapState | undefined {
    return this.confirmed && this.choices.reduce(withChoice, this.confirmed);
  }

  /** Takes a message of the host at `time` (milliseconds). */
  public receive(message: ToHeatmap, time: number): void {
    if (message.type === 'state') {
      this.confirmed = message.state;
    } else if (this.confirmed !== undefined) {
      this.confirmed = patched(this.confirmed, message);
    }
    const touched =
      message.type === 'state' || 'removed' in message.patch || 'protectedIds' in message.patch;
    if (touched) this.dropConfirmed();
    this.expire(time);
  }

  /** Shows a choice that is on its way to the host. */
  public choose(choice: Choice, time: number): void {
    this.choices = choice.type === 'selectRounds' ? [choice] : [...this.choices, choice];
    this.chosenAt = time;
  }

  /** Goes back to what the host last said if a choice was never confirmed. */
  public expire(time: number): void {
    if (time - this.chosenAt >= CHOICE_MILLISECONDS) this.choices = [];
  }

  /** Answers come in the order of the choices: an answer to an earlier one changes nothing. */
  private dropConfirmed(): void {
    const last = this.choices.at(-1);
    const { confirmed } = this;
    if (last === undefined || confirmed === undefined) return;
    const reached =
      last.type === 'selectRounds'
        ? confirmed.selectedRounds === last.rounds
        : markIn(confirmed, last.sublayer) === last.mark;
    if (reached) this.choices = [];
  }
}

function markIn({ model, removed, protectedIds }: HeatmapState, sublayer: string): Mark {
  if (expandSublayers(removed, model).includes(sublayer)) return 'removed';
  return expandSublayers(protectedIds, model).includes(sublayer) ? 'protected' : 'keep';
}
