/**
 * What a distance is measured over: the whole vocabulary, or ids that stand for it where it is large, see
 * {@link createReadout}.
 */
export type Vocabulary = 'whole' | 'sampled';
