/** What may be wrong with an example. */
export const issueKinds = ['suspected', 'duplicates', 'outliers'] as const;
export type IssueKind = (typeof issueKinds)[number];

/** Cosine from which on two examples are near-duplicates, where nobody says another. */
export const defaultSimilarity = 0.995;

/** How a map of examples in two dimensions is made. */
export const layouts = ['umap', 'pca'] as const;
export type Layout = (typeof layouts)[number];

/** Examples that a map by UMAP is made of where nobody asks for one. */
export const mostUmap = 10_000;
