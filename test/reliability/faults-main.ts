// Lets each call that writes fail once: faults.cjs MODEL FOLDER SAMPLES SITES LOG KIND… Run by scripts/faults.mjs.
import { join } from 'node:path';
import process from 'node:process';
import { ModelCache } from '../../extension/core/models/model-cache';
import { costsFolder } from '../../extension/core/jobs/user-cache';
import { FaultyWork, runTask } from './faults';
import type { Call, Fault } from './faulty-disk';
import { changedModel, kindNames, kinds, reduceKind, makeSources, makeTask } from './kinds';
import type { KindName } from './kinds';

const codes = ['ENOSPC', 'EACCES', 'EIO', 'EMFILE', 'killed', 'deleted'] as const;

const say = (text: string): void => {
  process.stdout.write(`${text}\n`);
};

/** Calls of each place in the program that writes. */
function groupPlaces(calls: readonly Call[]): (readonly number[])[] {
  const alike = new Map<string, number[]>();
  for (const [at, { name, site }] of calls.entries()) {
    alike.set(name + site, [...(alike.get(name + site) ?? []), at]);
  }
  return [...alike.values()];
}

/** First and last call of each place, first calls first. */
const pickEnds = (places: readonly (readonly number[])[]): number[] => [
  ...new Set([0, -1].flatMap((end) => places.map((calls) => calls.at(end) ?? 0))),
];

/** At most `most` of them, evenly spread. */
function some(sites: readonly number[], most: number): readonly number[] {
  const step = Math.max(1, (sites.length - 1) / (most - 1));
  const chosen = Array.from({ length: Math.min(most, sites.length) }, (_, i) =>
    Math.round(i * step),
  );
  return chosen.map((i) => sites[i] ?? 0);
}

/** True if starting from scratch each time would take most of the time. */
const isLong = ({ seconds }: FaultyWork): boolean => seconds > 2;

async function main(): Promise<void> {
  const [model = '', folder = '', samples = '', most = '', log = '', ...names] =
    process.argv.slice(2);
  const models = new ModelCache({ capacity: 4 });
  const environment = {
    ...{ samples, version: '0', costsFolder: costsFolder(), bundles: folder },
    open: async (path: string) => models.open(path),
  };
  const sources = makeSources(join(folder, 'sources'), model);
  await runTask(makeTask(changedModel, sources, ''), environment);
  let all = 0;
  for (const name of names.length > 0 ? (names as KindName[]) : kindNames) {
    const work = await FaultyWork.start(reduceKind(kinds[name]), { sources, folder, environment });
    let tried = 0;
    const found = new Map<string, number>();
    const places = groupPlaces(work.calls);
    const sites = some(pickEnds(places), Number(most));
    if (isLong(work)) await work.prepare(sites);
    for (const at of sites) {
      for (const code of codes) {
        for (const finding of await work.try({ at, code } satisfies Fault)) {
          found.set(finding, (found.get(finding) ?? 0) + 1);
          if (log === 'true') say(`  ${finding}`);
        }
      }
      tried += 1;
      if (log === 'true') say(`${name}: ${tried} of ${sites.length} calls`);
    }
    all += found.size;
    const counted = [
      ...[`${work.calls.length} calls at ${places.length} places`, `${sites.length} tried`],
      ...[`${codes.length * sites.length} faults`, `${found.size} findings`],
      `${work.seconds.toFixed(1)} s undisturbed`,
    ];
    say(`${name.padEnd(12)} ${counted.join(', ')}`);
    for (const [finding, count] of found) say(`  ${count} times: ${finding}`);
  }
  process.exitCode = all > 0 ? 1 : 0;
}

void main();
