import type { ReportPage, ReportSection } from '../../protocol/report';

/** Content of a report; the job adds the next steps. */
export type PageContent = Pick<ReportPage, 'title' | 'tooltip' | 'tags' | 'sections'> &
  Partial<Pick<ReportPage, 'notices'>>;

/** A section with a list, or none if there are no items. */
export const listed = (title: string, list: readonly string[]): ReportSection[] =>
  list.length === 0 ? [] : [{ title, list: [...list] }];
