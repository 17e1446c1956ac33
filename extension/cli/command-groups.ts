/** Heading of the last group. */
export const lastGroup = 'Machines and tools:';

/** Headings of `espalier --help`, in order, with the names of their commands. */
export const commandGroups: Readonly<Record<string, readonly string[]>> = {
  'Start:': ['fit', 'demo'],
  'Inspect models:': ['inspect', 'tensors', 'compare', 'try-family'],
  'Prune, quantize and compress:': [
    'profile',
    'plan',
    'sensitivity',
    'plan-compression',
    'pareto',
    'apply',
    'prune',
    'compress',
    'convert',
    'imatrix',
    'score-experts',
  ],
  'Measure and repair:': ['evaluate', 'latency', 'generate', 'drift', 'repair', 'report'],
  'Score data:': [
    'score-text',
    'train',
    'score-data',
    'select-data',
    'export-data',
    'convert-scores',
    'data-diet',
    'study-groups',
  ],
  'Experimental:': ['patch', 'synthesize', 'symbolic'],
  [lastGroup]: [
    'devices',
    'queue',
    'worker',
    'install-cuda',
    'install-llama',
    'completion',
    'mcp',
    'help',
  ],
};

/** Names of all commands in the order of the help. */
export const commandOrder: readonly string[] = Object.values(commandGroups).flat();
