import type { ExplorerRestore } from '../../extension/protocol/explorer';
import { countOr, fields, texts } from '../saved-view';

/** How the user looks at the panel: kept over reloads, of no meaning to the host. */
export interface View {
  readonly expanded: readonly string[];
  readonly query: string;
  readonly form: 'table' | 'diagram';
  /** Groups of the diagram that are open. */
  readonly open: readonly string[];
  readonly selected: string | undefined;
  readonly logarithmic: boolean;
  readonly scrollTop: number;
}

const initialView: View = {
  expanded: [],
  query: '',
  form: 'table',
  open: [],
  selected: undefined,
  logarithmic: false,
  scrollTop: 0,
};

/** What is given to `setState`. */
export interface SavedState extends ExplorerRestore {
  readonly view: View;
}

/** The view of an earlier `setState`, perhaps by another version: what does not fit falls back. */
export function viewFrom(saved: unknown): View {
  const view = fields(fields(saved)['view']);
  const { expanded, query, form, open, selected, logarithmic, scrollTop } = view;
  return {
    expanded: texts(expanded),
    query: typeof query === 'string' ? query : initialView.query,
    form: form === 'diagram' ? form : initialView.form,
    open: texts(open),
    selected: typeof selected === 'string' ? selected : undefined,
    logarithmic: logarithmic === true,
    scrollTop: countOr(scrollTop, initialView.scrollTop),
  };
}
