/** Kinds of issues of examples. */
export const issueKinds = ['suspected', 'duplicates', 'outliers'] as const;
export type IssueKind = (typeof issueKinds)[number];

/** Default minimum cosine similarity of near-duplicates. */
export const defaultSimilarity = 0.995;

/** Methods that create a two-dimensional map of examples. */
export const layouts = ['umap', 'pca'] as const;
export type Layout = (typeof layouts)[number];

/** Maximum number of examples for which UMAP is the default. */
export const maxUmap = 10_000;
