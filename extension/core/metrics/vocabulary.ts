/**
 * What a distance is measured over: the whole vocabulary; ids drawn to stand for it; or its likeliest ids, from which
 * no more follows than how great the distance is at least. See {@link createReadout}.
 */
export const vocabularies = ['whole', 'sampled', 'bounded'] as const;
export type Vocabulary = (typeof vocabularies)[number];
