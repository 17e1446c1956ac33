import type { AnyOperation } from './operation';
import { operations } from './operations';
import type { OperationId } from './operations';

/** Operations for terminals and studies, and operations that run until they are stopped. */
const unlisted = new Set<OperationId>([
  ...(['demo', 'try-family', 'symbolic enumerate', 'symbolic evaluate'] as const),
  ...(['convert-scores', 'study-groups', 'train', 'worker', 'queue'] as const),
  ...(['install-cuda', 'install-llama'] as const),
]);

/**
 * Operations offered to agents in the editor: everything from a model to a smaller, evaluated one.
 */
const inEditor = new Set<OperationId>([
  ...(['fit', 'inspect', 'compare', 'profile', 'plan', 'apply', 'evaluate', 'report'] as const),
  ...(['sensitivity', 'plan-compression', 'compress', 'repair'] as const),
]);

const among = (isOne: (id: OperationId) => boolean): readonly AnyOperation[] =>
  operations.filter(({ id }) => isOne(id)) as unknown as readonly AnyOperation[];

/** Operations that are tools of the server for agents. */
export const listedOperations = among((id) => !unlisted.has(id));

/** Operations that are language-model tools of the editor. */
export const editorOperations = among((id) => inEditor.has(id));

/** Name of a tool, as agents call it: `profile_layers`. */
export const toolName = ({ title }: AnyOperation): string =>
  title.toLowerCase().replaceAll(' ', '_');

/** The name in the editor, among the tools of all extensions. */
export const editorToolName = (operation: AnyOperation): string =>
  `espalier_${toolName(operation)}`;

/**
 * True for operations that write only their progress and measured costs, and finish immediately.
 */
export const isReading = ({ trust }: AnyOperation): boolean => trust === 'inspect';
