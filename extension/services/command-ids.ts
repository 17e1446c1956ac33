/** Every command of the extension: the one source of their ids. */
export const commandIds = {
  inspectModel: 'espalier.inspectModel',
  compareModels: 'espalier.compareModels',
  profileLayers: 'espalier.profileLayers',
  openHeatmap: 'espalier.openHeatmap',
  pruneLayers: 'espalier.pruneLayers',
  evaluateModel: 'espalier.evaluateModel',
  showDevices: 'espalier.showDevices',
  savePlan: 'espalier.savePlan',
  showLog: 'espalier.showLog',
  resumeProfile: 'espalier.resumeProfile',
  cancelJob: 'espalier.cancelJob',
  showJob: 'espalier.showJob',
  scoreData: 'espalier.scoreData',
  resumeScoring: 'espalier.resumeScoring',
  scoreText: 'espalier.scoreText',
  openDataMap: 'espalier.openDataMap',
  exportSubset: 'espalier.exportSubset',
  compareSubsets: 'espalier.compareSubsets',
  synthesizeModules: 'espalier.synthesizeModules',
  resumeSynthesis: 'espalier.resumeSynthesis',
  refreshModels: 'espalier.refreshModels',
  showInExplorer: 'espalier.showInExplorer',
  copyName: 'espalier.copyName',
} as const;

export type CommandName = keyof typeof commandIds;
