import { basename } from 'node:path';
import { l10n, Uri, ViewColumn } from 'vscode';
import type { DataMapCalls, DataMapState } from '../protocol/datamap';
import { dataMapCalls } from '../protocol/datamap';
import { commandIds } from '../services/command-ids';
import type { DataMapSession } from '../services/sessions/data-map-session';
import { panelJobId, runCommand } from './session-panel';
import type { PanelDefinition, SessionPanel } from './session-panel';
import { panelViewTypes } from '../services/activation/panel-view-types';

export type DataMapPanel = SessionPanel<DataMapSession, DataMapState, DataMapCalls>;

/** Panel of the scores of a dataset, its examples, and the selected subset. */
export const dataMapPanel: PanelDefinition<DataMapSession, DataMapState, DataMapCalls> = {
  name: 'datamap',
  viewType: panelViewTypes.dataMap,
  getTitle: ({ source }) =>
    l10n.t('Data Map: {0}', basename(source.scores).replace(/\.scores\.json$/, '')),
  getRestore: ({ source }) => ({ ...source }),
  calls: dataMapCalls,
  createHandlers: (session) => ({
    reload: () => session.open(),
    examples: (query) => session.examples(query),
    mark: (indices, marked) => {
      session.mark(indices, marked);
    },
    relabel: (changes) => {
      session.relabel(changes);
    },
    forgetLabels: () => {
      session.forgetLabels();
    },
    details: (index, similarity) => session.details(index, similarity),
    choose: (subset) => session.choose(subset),
    exportSubset: () => runCommand(commandIds.exportSubset, session),
    cancelExport: () => runCommand(commandIds.cancelJob, panelJobId(session.job)),
    compareSubsets: () => runCommand(commandIds.compareSubsets, session),
    chooseData: () => runCommand(commandIds.openDataMap, session),
    openText: () =>
      runCommand('vscode.openWith', Uri.file(session.source.scores), 'default', ViewColumn.Beside),
  }),
};
