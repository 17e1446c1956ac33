/** Allowed imports of every core folder, besides itself and the files at the core's root. */
const below = ['jobs', 'onnx', 'checkpoints', 'models', 'runtime', 'distribute'];
const systems = ['data', 'metrics', 'training', 'prune', 'tensornet', 'datadiet', 'symbolic'];

const parts: Readonly<Record<string, readonly string[]>> = {
  jobs: [],
  onnx: ['jobs'],
  checkpoints: ['jobs', 'onnx'],
  models: ['jobs', 'onnx', 'checkpoints'],
  runtime: ['jobs', 'onnx', 'checkpoints', 'models'],
  distribute: ['jobs', 'onnx', 'checkpoints', 'models', 'runtime'],
  'linear-algebra': below,
  inspect: below,
  data: below,
  metrics: below,
  training: [...below, 'data'],
  prune: [...below, 'data', 'metrics', 'training'],
  tensornet: [...below, 'linear-algebra', 'data', 'metrics', 'training'],
  datadiet: [...below, 'linear-algebra', 'data', 'training'],
  symbolic: [...below, 'linear-algebra', 'data', 'metrics', 'training'],
  plans: [...below, ...systems],
  export: [...below, 'linear-algebra', ...systems],
  pipelines: [...below, 'linear-algebra', ...systems, 'plans', 'export'],
  generate: [...below, ...systems, 'export'],
  evaluate: [...below, ...systems, 'plans', 'export', 'pipelines', 'generate'],
};

const partNames = Object.keys(parts);
const coreImports: Readonly<Record<string, readonly string[]>> = {
  ...parts,
  report: partNames,
  documents: [...partNames, 'report'],
  // The top of the core: what it is made of does not know what users ask for.
  operations: [...partNames, 'report', 'documents'],
};

/** The rooms that see VS Code, which reach the worker through protocol only. */
const host = ['extension.ts', 'host.ts', 'commands', 'panels', 'editors', 'views', 'services'];

/** Allowed imports of each room, besides itself. */
const roomImports: Readonly<Record<string, readonly string[]>> = {
  core: [],
  protocol: ['core'],
  worker: ['core', 'protocol'],
  cli: ['core', 'protocol'],
  host: ['core', 'protocol'],
  webview: ['protocol'],
};

/** Words of the core, and what follows from a choice as it changes, which a webview may import. */
const sharedWithWebviews: ReadonlySet<string> = new Set(
  [
    'message',
    'format',
    'describe-progress',
    'quality-labels',
    'glossary',
    'selection-stability',
    'shared-weights',
  ].map((name) => `extension/core/${name}.ts`),
);

/** The room of a file of `extension/` or `webview/`. */
function findRoom(file: string): string {
  const [top = '', folder = ''] = file.split('/');
  return top === 'webview' ? top : host.includes(folder) ? 'host' : folder;
}

/** True if a file may import another; both are paths from the repository's root. */
export function mayImport(file: string, imported: string): boolean {
  const [room, other] = [findRoom(file), findRoom(imported)];
  if (room !== other) {
    return (
      (roomImports[room] ?? []).includes(other) ||
      (room === 'webview' && sharedWithWebviews.has(imported))
    );
  }
  const [, , part = '', inPart] = file.split('/');
  const [, , otherPart = '', otherInPart] = imported.split('/');
  // Files at the core's root are everybody's.
  return (
    room !== 'core' ||
    inPart === undefined ||
    otherInPart === undefined ||
    part === otherPart ||
    (coreImports[part] ?? []).includes(otherPart)
  );
}
