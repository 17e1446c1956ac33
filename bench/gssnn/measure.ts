import process from 'node:process';
import { unattended } from '../../extension/core/jobs/job';
import { compress } from '../../extension/core/symbolic/compression/compress';
import { initialLibrary, withUniformWeights } from '../../extension/core/symbolic/language/library';
import type { Library } from '../../extension/core/symbolic/language/library';
import { parseProgram } from '../../extension/core/symbolic/language/parse-term';
import { enumerateBySize } from '../../extension/core/symbolic/search/enumerate-by-size';
import { explore } from '../../extension/core/symbolic/search/explore';
import { refit } from '../../extension/core/symbolic/search/refit';
import { archivedLibrary } from '../../test/unit/symbolic/vectors';
import { textbookSearch } from './textbook';

/** The library that the released search had after its first iteration, with its weights. */
function secondLibrary(): Library {
  const library = archivedLibrary(1);
  const programs = ['(fn_0 identity)', '(fn_0 (add (next_port (connect identity))))'];
  return refit(
    library,
    programs.map((text) => parseProgram(text, library)),
    { legacyWeights: true },
  );
}

const libraries: Readonly<Record<string, () => Library>> = {
  primitives: initialLibrary,
  second: secondLibrary,
  archived: () => withUniformWeights(archivedLibrary().entries),
};

/**
 * Task of a process: `explore LIBRARY PROGRAMS`, `textbook LIBRARY PROGRAMS`, `compress PROGRAMS`
 * or `enumerate SIZE`.
 */
async function measure([what, ...rest]: readonly string[]): Promise<object> {
  const [name = '', count = '0'] = rest;
  if (what === 'compress') {
    const { population } = await explore(
      libraries['archived']?.() ?? initialLibrary(),
      { quota: Number(name), programLimit: 400_000 },
      unattended,
    );
    const library = libraries['archived']?.() ?? initialLibrary();
    const programs = population.map(({ program }) => program);
    return timed(async () => {
      const { inventions } = await compress(library, programs, {}, unattended);
      return { programs: programs.length, graphs: inventions.length };
    });
  }
  if (what === 'enumerate') {
    return timed(async () => enumerateBySize(initialLibrary(), Number(name), unattended));
  }
  const library = libraries[name]?.() ?? initialLibrary();
  const programLimit = Number(count);
  return timed(async () => ({
    programs: programLimit,
    graphs:
      what === 'textbook'
        ? textbookSearch(library, programLimit)
        : (await explore(library, { quota: 50, programLimit }, unattended)).population.length,
  }));
}

/** Adds the time by the clock and the time that the process had a processor. */
async function timed(action: () => Promise<object>): Promise<object> {
  const [started, before] = [performance.now(), process.cpuUsage()];
  const result = await action();
  const { user, system } = process.cpuUsage(before);
  return {
    ...result,
    milliseconds: performance.now() - started,
    processorMilliseconds: (user + system) / 1000,
  };
}

void measure(process.argv.slice(2)).then((result) => {
  const kibibytes = process.resourceUsage().maxRSS;
  process.stdout.write(`${JSON.stringify({ ...result, kibibytes })}\n`);
});
