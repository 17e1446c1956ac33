import { join } from 'node:path';
import type { DomainText } from '../evaluate/evaluate-models';
import { heldOutText } from './requirement-fields';

/** Texts that come with Espalier, by domain; samples/README.md names their sources and licenses. */
const files = {
  prose: heldOutText,
  code: 'domains/code.txt',
  dialogue: 'domains/dialogue.txt',
  'non-Latin scripts': 'domains/non-latin.txt',
} as const;

/** @param samples folder of the texts */
export const domainTexts = (samples: string): readonly DomainText[] =>
  Object.entries(files).map(([domain, file]) => ({ domain, file: join(samples, file) }));
