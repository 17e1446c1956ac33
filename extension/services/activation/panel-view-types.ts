/** Ids of the panels, by which a window that is reloaded fills their tabs again. */
export const panelViewTypes = {
  heatmap: 'espalier.heatmap',
  compression: 'espalier.compression',
  explorer: 'espalier.explorer',
  dataMap: 'espalier.dataMap',
  symbolic: 'espalier.symbolic',
  playground: 'espalier.playground',
  report: 'espalier.report',
} as const;
