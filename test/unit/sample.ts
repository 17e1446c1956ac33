import process from 'node:process';
import { openModelFiles } from '../../extension/core/models/open-model';

/** True in `npm run test:all`, which runs every case of a matrix. */
export const runsAllCases = process.env['ESPALIER_TESTS'] === 'all';

/** Number of random cases of a property: `all` in `npm run test:all`, else `few`. */
export const randomRuns = (all: number, few = 1): number => (runsAllCases ? all : few);

/** Indices of the bits to flip in a file: all in `npm run test:all`, else one of each byte, the next in each. */
export const flippedBits = (bytes: number): readonly number[] =>
  Array.from({ length: runsAllCases ? bytes * 8 : bytes }, (_, i) =>
    runsAllCases ? i : i * 8 + (i % 8),
  );

/** All cases in `npm run test:all`; else the first of each distinct set of features. */
export async function sampled<Case>(
  cases: readonly Case[],
  features: (one: Case) => string | Promise<string>,
): Promise<readonly Case[]> {
  if (runsAllCases) return cases;
  const sets = await Promise.all(cases.map(async (one) => features(one)));
  return cases.filter((_, i) => sets.indexOf(sets[i] ?? '') === i);
}

/**
 * Pairs of two axes that are independent of each other: all in `npm run test:all`; else each row and each column at
 * least once, the columns in turn.
 */
export function paired<Row, Column>(
  rows: readonly Row[],
  columns: readonly Column[],
): readonly (readonly [Row, Column])[] {
  if (runsAllCases) return rows.flatMap((row) => columns.map((column) => [row, column] as const));
  return Array.from({ length: Math.max(rows.length, columns.length) }, (_, i) => {
    const [row, column] = [rows[i % rows.length], columns[i % columns.length]];
    return [row as Row, column as Column] as const;
  });
}

/** Features by path: the models are fixtures, which never change, and files that share a process ask for the same. */
const known = new Map<string, Promise<string>>();

function once(path: string, compute: (path: string) => Promise<string>): Promise<string> {
  const key = `${compute.name} ${path}`;
  const features = known.get(key) ?? compute(path);
  known.set(key, features);
  return features;
}

/**
 * Set of features of a model as text: kinds of sublayers, the roles and the storage of their linear layers, and what
 * the model cannot do.
 */
export const modelFeatures = async (path: string): Promise<string> => once(path, readFeatures);

/** Features that matter if sublayers are skipped or removed as they are: their kinds and what the model cannot do. */
export const sublayerFeatures = async (path: string): Promise<string> => once(path, readKinds);

async function readKinds(path: string): Promise<string> {
  const { model, summary, capabilities } = await openModelFiles(path);
  const side = new Set(model.prologue.sideNames);
  const kinds = summary.sublayers.map(({ kind, leavesParts, experts }, i) => {
    // Parallel branches, shared keys and biases by distance are further values of the state.
    const { part, mask } = model.sublayer(i);
    const state = part.inputs.filter((input) => !side.has(input) && input !== mask?.input);
    return `${kind} ${String(leavesParts)} ${String(experts !== undefined)} ${state.length}`;
  });
  const { name, givesScores } = model.output;
  const problems = Object.entries(capabilities).flatMap(([task, capability]) =>
    capability.able ? [] : [`${task} ${capability.code}`],
  );
  return [...new Set([...kinds, ...problems, name, String(givesScores)])].sort().join();
}

/** Features that matter if linear layers take other encodings: their places, roles and storage. */
export const layerFeatures = async (path: string): Promise<string> => once(path, readLayers);

async function readFeatures(path: string): Promise<string> {
  const { summary, capabilities } = await openModelFiles(path);
  const kinds = summary.sublayers.map(
    ({ kind, leavesParts, experts }) =>
      `${kind} ${String(leavesParts)} ${String(experts !== undefined)}`,
  );
  const problems = Object.entries(capabilities).flatMap(([task, capability]) =>
    capability.able ? [] : [`${task} ${capability.code}`],
  );
  return `${[...new Set([...kinds, ...problems])].sort().join()} ${await layerFeatures(path)}`;
}

async function readLayers(path: string): Promise<string> {
  const { model, summary } = await openModelFiles(path);
  const found = new Set<string>();
  summary.sublayers.forEach(({ kind }, i) => {
    for (const { role, expert, weight, transposed, overPositions, encoding } of model.sublayer(i)
      .linearLayers) {
      const rank = weight.shape.length;
      found.add(
        JSON.stringify([kind, role, expert !== undefined, rank, transposed, overPositions]),
      );
      found.add(JSON.stringify([weight.dtype, encoding?.kind]));
    }
  });
  return [...found].sort().join();
}
