// Kills work at random moments: chaos.cjs DIST WINDOW MODEL FOLDER KILLS SEED LOG KIND… Run by scripts/chaos.mjs.
import { join } from 'node:path';
import process from 'node:process';
import { seededRandom } from '../fuzz/mutate';
import { disturb } from './chaos';
import { runTask } from './disturb';
import { changedModel, kindNames, kinds, makeSources, taskOf } from './kinds';
import type { KindName } from './kinds';

const say = (text: string): void => {
  process.stdout.write(`${text}\n`);
};

async function main(): Promise<void> {
  const [
    dist = '',
    window = '',
    model = '',
    folder = '',
    kills = '',
    seed = '',
    log = '',
    ...names
  ] = process.argv.slice(2);
  const programs = { dist, window };
  const sources = makeSources(join(folder, 'sources'), model);
  await runTask(
    taskOf(changedModel, sources, ''),
    programs,
    { way: 'command line', signal: 'SIGKILL', afterMilliseconds: Infinity },
    { folder, mark: 'prepare' },
  );
  let found = 0;
  for (const [i, name] of (names.length > 0 ? (names as KindName[]) : kindNames).entries()) {
    const { findings, ...figures } = await disturb(kinds[name], {
      ...{
        sources,
        programs,
        folder,
        kills: Number(kills),
        random: seededRandom(Number(seed) + i),
      },
      ...(log === 'true' ? { log: say } : {}),
    });
    found += findings.length;
    say(`${name.padEnd(12)} ${JSON.stringify(figures)} findings: ${findings.length}`);
    for (const finding of findings) say(`  ${finding}`);
  }
  process.exitCode = found > 0 ? 1 : 0;
}

void main();
