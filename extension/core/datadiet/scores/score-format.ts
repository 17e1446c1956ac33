import { extname } from 'node:path';

/** Forms that scores are written in. */
export const scoreFormats = ['espalier', 'npy', 'deepcore', 'cleanlab', 'cartography'] as const;
export type ScoreFormat = (typeof scoreFormats)[number];

/** The form that the end of a name asks for. */
export function formatOf(path: string): ScoreFormat {
  switch (extname(path).toLowerCase()) {
    case '.npy':
      return 'npy';
    case '.csv':
      return 'cleanlab';
    case '.jsonl':
      return 'cartography';
    default:
      return 'espalier';
  }
}
