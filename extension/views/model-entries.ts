import { l10n, ThemeIcon, TreeItem, TreeItemCollapsibleState } from 'vscode';
import type { Uri } from 'vscode';
import { formatBytes, formatCount } from '../core/format';
import type {
  BlockDescription,
  ModelDescription,
  PartDescription,
  PartKind,
  StoredTensor,
  SublayerDescription,
} from '../core/inspect/model-description';
import { parseNumbered } from '../core/inspect/tensor-names';
import { commandIds } from '../services/command-ids';
import type { ModelRow } from '../services/documents/model-row';
import { sublayerName } from '../services/sublayer-name';

/** Part of a model in the tree view, with its children. */
export interface ModelEntry extends ModelRow {
  /** Kind that context menus test. */
  readonly kind: 'block' | 'sublayer' | 'part' | 'tensor' | 'sensitivity' | 'failure';
  readonly label: string;
  readonly description: string;
  readonly tooltip: string;
  readonly children: () => readonly ModelEntry[];
}

const icons: Readonly<Record<ModelEntry['kind'], string>> = {
  block: 'symbol-namespace',
  sublayer: 'symbol-module',
  part: 'symbol-field',
  tensor: 'symbol-array',
  sensitivity: 'graph',
  failure: 'warning',
};

/** Blocks, sublayers and tensors of a model, in its order. */
export function createModelEntries(model: ModelDescription, resourceUri: Uri): ModelEntry[] {
  const partEntry = (part: PartDescription): ModelEntry => ({
    ...{ kind: 'part', resourceUri, row: `part:${part.part}`, name: part.part },
    ...texts(partName(part.part), sizeText(part)),
    children: () => part.tensors.map((tensor) => tensorEntry(tensor, resourceUri)),
  });
  const isFirst = ({ part }: PartDescription): boolean => part === 'embedding';
  return [
    ...model.parts.filter(isFirst).map(partEntry),
    ...model.blocks.map((block) => blockEntry(block, resourceUri)),
    ...model.parts.filter((part) => !isFirst(part)).map(partEntry),
  ];
}

/** Tree entry of a sensitivity profile next to a model. */
export function sensitivityEntry(file: Uri): ModelEntry {
  const name = file.path.split('/').at(-1) ?? '';
  return {
    ...{ kind: 'sensitivity', resourceUri: file, row: '', name, children: () => [] },
    ...texts(l10n.t('Compression sensitivity'), name),
  };
}

/** Tree entry of a model that can't be described. */
export function failureEntry(message: string, resourceUri: Uri): ModelEntry {
  return {
    ...{ kind: 'failure', resourceUri, row: '', name: message, children: () => [] },
    ...texts(l10n.t('cannot be opened'), message),
  };
}

export function createTreeItem(entry: ModelEntry): TreeItem {
  const { kind, label, description, tooltip, children } = entry;
  const isLeaf = kind === 'tensor' || children().length === 0;
  const item = new TreeItem(
    label,
    isLeaf ? TreeItemCollapsibleState.None : TreeItemCollapsibleState.Collapsed,
  );
  item.description = description;
  item.tooltip = tooltip;
  item.iconPath = new ThemeIcon(icons[kind]);
  if (kind === 'sensitivity') {
    item.command = {
      command: commandIds.openCompression,
      title: l10n.t('Open Compression Panel'),
      arguments: [entry.resourceUri],
    };
  } else if (kind !== 'failure') {
    item.contextValue = kind;
    item.command = {
      command: commandIds.showInExplorer,
      title: l10n.t('Show in Model Explorer'),
      arguments: [entry],
    };
  }
  return item;
}

function blockEntry(block: BlockDescription, resourceUri: Uri): ModelEntry {
  const { id, index, sublayers } = block;
  return {
    ...{ kind: 'block', resourceUri, row: id, name: id },
    ...texts(id.startsWith('block.') ? l10n.t('Block {0}', index) : id, sizeText(block)),
    children: () => sublayers.map((sublayer) => sublayerEntry(sublayer, resourceUri)),
  };
}

function sublayerEntry(sublayer: SublayerDescription, resourceUri: Uri): ModelEntry {
  const { id, kind, tensors } = sublayer;
  return {
    ...{ kind: 'sublayer', resourceUri, row: id, name: id },
    ...texts(sublayerName(kind), sizeText(sublayer), id),
    children: () => tensors.map((tensor) => tensorEntry(tensor, resourceUri)),
  };
}

function tensorEntry({ name, dtype, shape, bytes }: StoredTensor, resourceUri: Uri): ModelEntry {
  // Within a block, what follows its number tells which tensor it is.
  const label = parseNumbered(name)?.rest ?? name;
  return {
    ...{ kind: 'tensor', resourceUri, row: `tensor:${name}`, name },
    ...texts(
      label,
      [dtype, shape.join(' × '), formatBytes(bytes)].filter(Boolean).join(' · '),
      name,
    ),
    children: () => [],
  };
}

function texts(
  label: string,
  description: string,
  name = label,
): Pick<ModelEntry, 'label' | 'description' | 'tooltip'> {
  return { label, description, tooltip: `${name}\n${description}` };
}

function sizeText({ parameters, bytes }: { parameters: number; bytes: number }): string {
  return `${formatCount(parameters)} · ${formatBytes(bytes)}`;
}

function partName(part: PartKind): string {
  const names: Readonly<Record<PartKind, string>> = {
    embedding: l10n.t('Embedding'),
    'final-norm': l10n.t('Final norm'),
    head: l10n.t('LM head'),
    other: l10n.t('Other'),
  };
  return names[part];
}
