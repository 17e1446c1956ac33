import type { Uri } from 'vscode';

/** Part of a model that a command applies to, such as an entry of the tree view. */
export interface ModelRow {
  /** The model: its folder or file. */
  readonly resourceUri: Uri;
  /** Row of the explorer's table: `block.N`, `block.N.KIND`, `part:PART` or `tensor:NAME`. */
  readonly row: string;
  /** Name used in plans and tools. */
  readonly name: string;
}

export function isModelRow(value: unknown): value is ModelRow {
  return (
    typeof value === 'object' &&
    value !== null &&
    'resourceUri' in value &&
    'row' in value &&
    typeof value.row === 'string' &&
    'name' in value &&
    typeof value.name === 'string'
  );
}
