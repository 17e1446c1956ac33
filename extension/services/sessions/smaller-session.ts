import type { SmallerModel, SmallerState } from '../../protocol/smaller';
import { PanelSession } from './panel-session';
import type { Parts } from './panel-session';

/** Report of a smaller model. */
export class SmallerSession extends PanelSession<SmallerState> {
  protected readonly parts: Parts<SmallerState> = { smaller: () => this.smaller };

  public constructor(public readonly smaller: SmallerModel) {
    super();
  }
}
