// Kills work at random moments: chaos.cjs DIST WINDOW MODEL FOLDER BLOWS SEED LOG KIND… Run by scripts/chaos.mjs.
import { join } from 'node:path';
import process from 'node:process';
import { seededRandom } from '../fuzz/mutate';
import { disturb } from './chaos';
import type { Figures } from './chaos';
import { runTask, ways } from './disturb';
import type { Way } from './disturb';
import { changedModel, kindNames, kinds, makeSources, makeTask } from './kinds';
import type { KindName } from './kinds';

const say = (text: string): void => {
  process.stdout.write(`${text}\n`);
};

/** A row of the table of docs/reference/reliability.md; hits of each way, and how many of them were SIGKILL. */
const row = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;

const sumFigures = (all: readonly Figures[], of: 'hits' | 'kills', way: Way): number =>
  all.reduce((sum, figures) => sum + figures[of][way], 0);

function tell(name: string, all: readonly Figures[]): void {
  const sum = (of: (figures: Figures) => number): string =>
    String(all.reduce((total, figures) => total + of(figures), 0));
  const hits = ways.map(
    (way) => `${sumFigures(all, 'hits', way)} (${sumFigures(all, 'kills', way)})`,
  );
  say(
    row([
      ...[name, ...hits, sum(({ finished }) => finished), sum(({ discarded }) => discarded)],
      ...[sum(({ races }) => races), sum(({ findings }) => findings.length)],
      `${sum(({ seconds }) => Math.round(seconds))} s`,
    ]),
  );
}

async function main(): Promise<void> {
  const [
    dist = '',
    window = '',
    model = '',
    folder = '',
    blows = '',
    seed = '',
    log = '',
    ...names
  ] = process.argv.slice(2);
  const programs = { dist, window };
  const sources = makeSources(join(folder, 'sources'), model);
  await runTask(
    makeTask(changedModel, sources, ''),
    programs,
    { way: 'command line', signal: 'SIGKILL', afterMilliseconds: Infinity },
    { folder, mark: 'prepare' },
  );
  const all: Figures[] = [];
  say(row(['work', ...ways, 'runs to the end', 'discarded', 'races', 'findings', 'undisturbed']));
  for (const [i, name] of (names.length > 0 ? (names as KindName[]) : kindNames).entries()) {
    const figures = await disturb(kinds[name], {
      ...{
        sources,
        programs,
        folder,
        blows: Number(blows),
        random: seededRandom(Number(seed) + i),
      },
      ...(log === 'true' ? { log: say } : {}),
    });
    all.push(figures);
    tell(name, [figures]);
    for (const finding of figures.findings) say(`  ${finding}`);
  }
  tell('all', all);
  process.exitCode = all.some(({ findings }) => findings.length > 0) ? 1 : 0;
}

void main();
