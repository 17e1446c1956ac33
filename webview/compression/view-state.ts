import type { CompressionRestore } from '../../extension/protocol/compression';
import { countOr, fields, oneOf, texts } from '../saved-view';
import type { ColumnSort } from '../sort-header';
import { budgetUnits, initialForm } from './budget';
import type { BudgetForm } from './budget';
import { sortKeys } from './rows';
import type { SortKey } from './rows';

/** How the user looks at the panel, and what is asked of a plan: remembered over reloads. */
export interface View {
  readonly scrollTop: number;
  /** Key of the way that is shown, `plan`, or undefined for the first. */
  readonly shown: string | undefined;
  /** Percent of the bytes at which layers are shown. */
  readonly share: number;
  readonly sort: ColumnSort<SortKey>;
  readonly form: BudgetForm;
}

const initialView: View = {
  scrollTop: 0,
  shown: undefined,
  share: 40,
  sort: { key: 'loss', descending: true },
  form: initialForm,
};

/** What is given to `setState`. */
export interface SavedState extends CompressionRestore {
  readonly view: View;
}

/** The view of an earlier `setState`, perhaps by another version: what does not fit falls back. */
export function viewFrom(saved: unknown): View {
  const view = fields(fields(saved)['view']);
  const sort = fields(view['sort']);
  const form = fields(view['form']);
  const without = form['without'];
  const shown = view['shown'];
  return {
    scrollTop: countOr(view['scrollTop'], initialView.scrollTop),
    shown: typeof shown === 'string' ? shown : undefined,
    share: countOr(view['share'], initialView.share),
    sort: {
      key: oneOf(sortKeys, sort['key'], initialView.sort.key),
      descending: sort['descending'] !== false,
    },
    form: {
      unit: oneOf(budgetUnits, form['unit'], initialForm.unit),
      percent: countOr(form['percent'], initialForm.percent),
      without: texts(without),
      removes: form['removes'] === true,
      outer: form['outer'] !== false,
    },
  };
}
