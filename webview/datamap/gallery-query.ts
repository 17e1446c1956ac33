import { useMemo } from 'preact/hooks';
import { orders } from '../../extension/protocol/datamap';
import type { GalleryQuery } from '../../extension/protocol/datamap';
import type { Overview } from './types';
import type { ShownQuery } from './view-state';

export const pageSize = 24;

export type Region = NonNullable<GalleryQuery['region']>;

/** The query without what these scores do not know. */
export function fitting(query: ShownQuery, overview: Overview): ShownQuery {
  const { order, issue, similarTo } = query;
  const { classes, issues, embedding, examples } = overview;
  const knownClass = (label: number | undefined) =>
    label !== undefined && label < classes.length ? label : undefined;
  return {
    ...query,
    order: listOrders(overview).includes(order) ? order : 'hardest',
    label: knownClass(query.label),
    predicted: knownClass(query.predicted),
    issue: issue !== undefined && issues[issue] !== undefined ? issue : undefined,
    similarTo:
      embedding !== undefined && similarTo !== undefined && similarTo < examples
        ? similarTo
        : undefined,
  };
}

/** Orders by what is known of these scores. */
export function listOrders({ mapped, issues }: Overview): ShownQuery['order'][] {
  const isKnown: Partial<Readonly<Record<ShownQuery['order'], boolean>>> = {
    ambiguous: mapped > 0,
    suspicious: issues.suspected !== undefined,
    duplicates: issues.duplicates !== undefined,
    outlying: issues.outliers !== undefined,
  };
  return orders.filter((order) => isKnown[order] ?? true);
}

/** A query without its filters: all examples, in its order. */
export const unfiltered = (query: ShownQuery): ShownQuery => ({
  ...query,
  ...{ label: undefined, predicted: undefined, issue: undefined, similarTo: undefined },
  ...{ search: '', marked: false, relabeled: false },
});

export function isFiltered(query: ShownQuery, region: Region | undefined): boolean {
  const { label, predicted, issue, search, marked, relabeled } = query;
  const given = [label, predicted, issue, region].some((one) => one !== undefined);
  return given || search.trim() !== '' || marked || relabeled;
}

interface Asked {
  readonly query: ShownQuery;
  readonly similarity: number;
  readonly region: Region | undefined;
  /** An example that is looked for. */
  readonly containing: number | undefined;
  readonly marks: readonly number[];
  readonly relabeled: readonly unknown[];
  /** Inputs of the question; it is asked again when they change. */
  readonly about: readonly unknown[];
}

/** Question for the host; the same object as long as the same examples are shown. */
export function useQuestion(asked: Asked): GalleryQuery {
  const { query, similarity, region, containing, marks, relabeled, about } = asked;
  const { order, label, predicted, issue, similarTo, search, page } = query;
  return useMemo<GalleryQuery>(
    () => ({
      ...{ order, similarity, marked: query.marked, relabeled: query.relabeled, page, pageSize },
      ...(label === undefined ? {} : { label }),
      ...(predicted === undefined ? {} : { predicted }),
      ...(issue === undefined ? {} : { issue }),
      ...(similarTo === undefined ? {} : { similarTo }),
      ...(region === undefined ? {} : { region }),
      ...(search.trim() === '' ? {} : { search }),
      ...(containing === undefined ? {} : { containing }),
    }),
    [
      ...[order, label, predicted, issue, similarTo, search, similarity, region, containing],
      ...[query.marked, query.relabeled],
      // The page with an example that is sought is for the host to tell.
      containing === undefined ? page : undefined,
      ...about,
      query.marked ? marks : undefined,
      query.relabeled ? relabeled : undefined,
    ],
  );
}
