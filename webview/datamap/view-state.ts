import type { ChosenSubset, DataMapRestore, GalleryQuery } from '../../extension/protocol/datamap';
import { countOr, fields, isCount, oneOf } from '../saved-view';

/** Orders of the gallery, as the core knows them. */
export const orders = ['hardest', 'easiest', 'ambiguous', 'suspicious', 'stored'] as const;
export const policies = ['max', 'window', 'random'] as const;

/** How the user looks at the panel, and what is to be kept: remembered over reloads. */
export interface View {
  readonly query: GalleryQuery;
  readonly subset: ChosenSubset;
  readonly scrollTop: number;
}

const pageSize = 24;

const initialView: View = {
  query: { order: 'hardest', suspected: false, marked: false, page: 0, pageSize },
  subset: {
    request: { keep: 0.5, policy: 'max', balanced: true, seed: 0 },
    leaveOutMarked: true,
  },
  scrollTop: 0,
};

/** What is given to `setState`. */
export type SavedState = DataMapRestore & { readonly view: View };

/** The view of an earlier `setState`, perhaps by another version: what does not fit falls back. */
export function viewFrom(saved: unknown): View {
  const view = fields(fields(saved)['view']);
  const query = fields(view['query']);
  const subset = fields(view['subset']);
  const request = fields(subset['request']);
  const label = query['label'];
  const keep = request['keep'];
  const offset = request['offset'];
  const policy = oneOf(policies, request['policy'], initialView.subset.request.policy);
  return {
    query: {
      order: oneOf(orders, query['order'], initialView.query.order),
      ...(isCount(label) ? { label } : {}),
      suspected: query['suspected'] === true,
      marked: query['marked'] === true,
      page: countOr(query['page'], 0),
      pageSize,
    },
    subset: subsetOf({
      keep: typeof keep === 'number' && keep > 0 && keep <= 1 ? keep : 0.5,
      policy,
      offset: typeof offset === 'number' && offset >= 0 && offset < 1 ? offset : 0.1,
      balanced: request['balanced'] !== false,
      leaveOutMarked: subset['leaveOutMarked'] !== false,
    }),
    scrollTop: countOr(view['scrollTop'], initialView.scrollTop),
  };
}

/** What the controls of the choice say. */
export interface SubsetForm {
  readonly keep: number;
  readonly policy: (typeof policies)[number];
  /** Kept for when the policy is `window` again. */
  readonly offset: number;
  readonly balanced: boolean;
  readonly leaveOutMarked: boolean;
}

/** A window never reaches beyond the last example. */
export function subsetOf(form: SubsetForm): ChosenSubset {
  const { keep, policy, balanced, leaveOutMarked } = form;
  const most = Math.round(100 * (1 - keep)) / 100;
  return {
    request: {
      keep,
      policy,
      balanced,
      seed: 0,
      ...(policy === 'window' ? { offset: Math.min(form.offset, most) } : {}),
    },
    leaveOutMarked,
  };
}

export function formOf({ request, leaveOutMarked }: ChosenSubset): SubsetForm {
  const { keep, policy, balanced, offset = 0.1 } = request;
  return { keep, policy, balanced, offset, leaveOutMarked };
}
