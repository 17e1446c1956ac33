// Lets each call that writes fail once: faults.cjs MODEL FOLDER SAMPLES SITES KIND… Run by scripts/faults.mjs.
import { join } from 'node:path';
import process from 'node:process';
import { ModelCache } from '../../extension/core/models/model-cache';
import { costsFolder } from '../../extension/core/runtime/user-cache';
import { FaultyWork, runTask } from './faults';
import type { Call, Fault } from './faulty-disk';
import { changedModel, kindNames, kinds, makeSources, taskOf } from './kinds';
import type { KindName } from './kinds';

const codes = ['ENOSPC', 'EACCES', 'EIO', 'EMFILE', 'killed', 'deleted'] as const;

const say = (text: string): void => {
  process.stdout.write(`${text}\n`);
};

/** Of each place in the program that writes, the first call and the last. */
function sitesOf(calls: readonly Call[]): number[] {
  const alike = new Map<string, number[]>();
  for (const [at, { name, site }] of calls.entries()) {
    alike.set(name + site, [...(alike.get(name + site) ?? []), at]);
  }
  return [...alike.values()].flatMap((sites) =>
    sites.filter((_, i) => i === 0 || i === sites.length - 1),
  );
}

/** At most so many of them, from the first to the last. */
function some(sites: readonly number[], most: number): readonly number[] {
  const step = Math.max(1, (sites.length - 1) / (most - 1));
  const chosen = Array.from({ length: Math.min(most, sites.length) }, (_, i) =>
    Math.round(i * step),
  );
  return chosen.map((i) => sites[i] ?? 0);
}

async function main(): Promise<void> {
  const [model = '', folder = '', samples = '', most = '', ...names] = process.argv.slice(2);
  const models = new ModelCache({ capacity: 4 });
  const environment = {
    ...{ samples, version: '0', costsFolder: costsFolder(), bundles: folder },
    open: async (path: string) => models.open(path),
  };
  const sources = makeSources(join(folder, 'sources'), model);
  await runTask(taskOf(changedModel, sources, ''), environment);
  let all = 0;
  for (const name of names.length > 0 ? (names as KindName[]) : kindNames) {
    const work = await FaultyWork.start(kinds[name], { sources, folder, environment });
    const found = new Map<string, number>();
    const sites = some(sitesOf(work.calls), Number(most));
    for (const at of sites) {
      for (const code of codes) {
        for (const finding of await work.try({ at, code } satisfies Fault)) {
          found.set(finding, (found.get(finding) ?? 0) + 1);
        }
      }
    }
    all += found.size;
    say(
      `${name.padEnd(12)} ${work.calls.length} calls, ${sites.length} sites, ${codes.length * sites.length} faults, ${found.size} findings`,
    );
    for (const [finding, count] of found) say(`  ${count} times: ${finding}`);
  }
  process.exitCode = all > 0 ? 1 : 0;
}

void main();
