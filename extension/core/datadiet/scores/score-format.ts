import { extname } from 'node:path';

/** File formats of scores. */
export const scoreFormats = ['espalier', 'npy', 'deepcore', 'cleanlab', 'cartography'] as const;
export type ScoreFormat = (typeof scoreFormats)[number];

/** Format selected by the file extension. */
export function scoreFormatFromPath(path: string): ScoreFormat {
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
