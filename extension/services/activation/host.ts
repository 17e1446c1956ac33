import type {
  LanguageModelTool,
  McpStdioServerDefinition,
  TreeDataProvider,
  Uri,
  WebviewPanel,
  WebviewPanelSerializer,
} from 'vscode';
import type { panelViewTypes } from './panel-view-types';
import type { CommandName } from '../command-ids';

/** Ids of the views in the side bar. */
export const viewIds = {
  models: 'espalier.models',
  results: 'espalier.results',
  jobs: 'espalier.jobs',
} as const;

/** Implementation of everything registered at activation. It is loaded on first use. */
export interface Host {
  readonly runCommand: (name: CommandName, argument: unknown, options: object) => Promise<unknown>;
  readonly views: Readonly<Record<keyof typeof viewIds, TreeDataProvider<unknown>>>;
  readonly panels: Readonly<Record<keyof typeof panelViewTypes, WebviewPanelSerializer>>;
  /** Fills the custom editor of a file. */
  readonly resolveEditor: (viewType: string, file: Uri, panel: WebviewPanel) => Promise<void>;
  /** A tool of language models, by its name. */
  readonly tool: (
    name: string,
  ) => Required<
    Pick<LanguageModelTool<Readonly<Record<string, unknown>>>, 'invoke' | 'prepareInvocation'>
  >;
  readonly agentServers: () => McpStdioServerDefinition[];
}

export type LoadHost = () => Promise<Host>;
