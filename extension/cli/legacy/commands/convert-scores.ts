import { resolve } from 'node:path';
import {
  formatOf,
  readScores,
  scoreFormats,
  writeScores,
} from '../../../core/datadiet/score-files';
import type { Command } from '../command';
import { required } from '../training-options';

export const convertScores: Command = {
  name: 'convert-scores',
  usage: `--scores FILE --out FILE [--format ${scoreFormats.join('|')}]`,
  summary: 'Turn scores of one tool into those of another.',
  options: {
    scores: { type: 'string' },
    out: { type: 'string' },
    format: { type: 'string' },
  },
  run: async (args, { terminal }) => {
    const out = resolve(required(args, 'out'));
    const format = args.choice('format', scoreFormats, formatOf(out));
    const document = await readScores(resolve(required(args, 'scores')));
    await writeScores(out, document, format);
    terminal.note(`${document.examples} scores: ${out}`);
  },
};
