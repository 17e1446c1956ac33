/**
 * @typedef {import('./run.mjs').Subject & {results: import('./run.mjs').Results, stored: string | undefined}} Section
 */

/**
 * @param {readonly Section[]} sections
 * @param {string} prompt
 */
export function report(sections, prompt) {
  return [
    '# CompactifAI: what compression costs and what repair brings back',
    '',
    'Commands: `npm run build && node bench/compactifai/run.mjs`, then, on a quiet machine, `node bench/compactifai/run.mjs --timing`.',
    'Notes on the columns are in [NOTES.md](NOTES.md#how-to-repeat-it).',
    '',
    ...sections.flatMap((section) => sectionLines(section, prompt)),
  ].join('\n');
}

/**
 * @param {Section} section
 * @param {string} prompt
 */
function sectionLines({ title, rows, results, stored }, prompt) {
  const { quality, machine } = results;
  const generations = rows.flatMap(({ key, label }) => {
    const found = quality[key];
    return found === undefined ? [] : [`- ${label}: …${found.generation.replace(/\s+/g, ' ')}`];
  });
  return [
    `## ${title}`,
    '',
    ...(stored === undefined ? [] : [stored, '']),
    ...(machine === undefined ? [] : [`Speeds: ${machine}`, '']),
    ...makeTable(rows, results),
    '',
    `"${prompt} …", greedily:`,
    '',
    ...generations,
    '',
  ];
}

/**
 * @param {Section['rows']} rows
 * @param {Section['results']} results
 */
function makeTable(rows, { quality, speed }) {
  const dense = quality['dense'];
  const done = rows.flatMap((row) => {
    const found = quality[row.key];
    return found === undefined || dense === undefined ? [] : [{ ...row, found }];
  });
  return [
    '| model | MB | of dense | parameters, M | tokens/s | prefill | perplexity, bundled | Brown | task, % | KL to dense |',
    '|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|',
    ...done.map(({ key, label, found }) => {
      const own = speed?.[key];
      const cells = [
        label,
        (found.bytes / 1e6).toFixed(found.bytes < 1e8 ? 2 : 1),
        dense === undefined ? '' : `${Math.round((100 * found.bytes) / dense.bytes)} %`,
        (found.parameters / 1e6).toFixed(2),
        own === undefined ? '' : rate(own.decode, own.decodeRatio),
        own === undefined ? '' : rate(own.prefill, own.prefillRatio),
        ...judgement(found.judged),
        found.lossAfter === undefined
          ? ''
          : `${found.lossBefore?.toPrecision(3)} → ${found.lossAfter.toPrecision(3)}`,
      ];
      return `| ${cells.join(' | ')} |`;
    }),
  ];
}

/**
 * @param {import('./run.mjs').Judged | undefined} judged nothing where another row has the same numbers
 */
function judgement(judged) {
  if (judged === undefined) return ['as above', '', ''];
  const { bundled, brown, acc, accError } = judged;
  const percent = `${(100 * acc).toFixed(1)} ± ${(100 * accError).toFixed(1)}`;
  return [bundled.toFixed(2), brown.toFixed(2), percent];
}

/**
 * @param {number} tokens
 * @param {number} ratio
 */
function rate(tokens, ratio) {
  return `${tokens.toFixed(tokens < 100 ? 1 : 0)} (${ratio.toFixed(2)})`;
}
