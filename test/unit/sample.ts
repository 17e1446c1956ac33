import process from 'node:process';
import { openModelFiles } from '../../extension/core/models/open-model';

/** True in `npm run test:all`, which runs every case of a matrix. */
export const runsAllCases = process.env['ESPALIER_TESTS'] === 'all';

/** Number of random cases of a property: `all` in `npm run test:all`, else `few`. */
export const randomRuns = (all: number, few = 1): number => (runsAllCases ? all : few);

/** All cases in `npm run test:all`; else the first of each set of features. */
export async function sampled<Case>(
  cases: readonly Case[],
  features: (one: Case) => Promise<string>,
): Promise<readonly Case[]> {
  if (runsAllCases) return cases;
  const sets = await Promise.all(cases.map(features));
  return cases.filter((_, i) => sets.indexOf(sets[i] ?? '') === i);
}

/**
 * Set of features of a model as text: kinds of sublayers, the roles and the storage of their linear layers, and what
 * the model cannot do.
 */
export async function modelFeatures(path: string): Promise<string> {
  const { model, summary, capabilities } = await openModelFiles(path);
  const found = new Set<string>();
  summary.sublayers.forEach(({ kind, leavesParts, experts }, i) => {
    found.add(`${kind} ${String(leavesParts)} ${String(experts !== undefined)}`);
    for (const { role, expert, weight, transposed, overPositions, form } of model.sublayer(i)
      .linearLayers) {
      const rank = weight.shape.length;
      found.add(
        JSON.stringify([kind, role, expert !== undefined, rank, transposed, overPositions]),
      );
      found.add(JSON.stringify([weight.dtype, form?.kind]));
    }
  });
  for (const [task, capability] of Object.entries(capabilities)) {
    if (!capability.able) found.add(`${task} ${capability.code}`);
  }
  return [...found].sort().join();
}
