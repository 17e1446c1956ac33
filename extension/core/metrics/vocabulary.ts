/**
 * Ids that a distance is measured over: the whole vocabulary, a random sample, or the most probable ids, which give a
 * lower bound. See {@link createReadout}.
 */
export const vocabularies = ['whole', 'sampled', 'bounded'] as const;
export type Vocabulary = (typeof vocabularies)[number];
