/** @typedef {import('./core-modules.mjs').Declarations} Declarations */
/** @typedef {import('../../extension/services/command-ids').CommandName} CommandName */
/** @typedef {import('../../extension/core/document-names').DocumentId} DocumentId */
/** @typedef {import('../../extension/services/documents/model-context').MenuWord} MenuWord */
/** @typedef {'model' | 'modelMore' | 'plan' | 'scores'} Submenu */
/**
 * Entry of a menu: a command or a submenu, the condition that shows it, and its group.
 * @typedef {{ command?: string, submenu?: string, when?: string, group?: string }} Entry
 */

/**
 * Menus of package.json: what is offered where. A command needs an entry in each menu that shows it; it is in the
 * palette unless `palette` has a condition for it.
 * @param {Pick<Declarations, 'documentContributions' | 'viewTypes' | 'panelViewTypes' | 'manifestName'>} declarations
 * @returns {Record<string, readonly Entry[]>}
 */
function listMenus({ documentContributions, viewTypes, panelViewTypes, manifestName }) {
  const { conditions } = documentContributions();
  /** @param {DocumentId} id */
  const isDocument = (id) => conditions[id] ?? '';
  /** @param {'layerProfile' | 'sensitivity' | 'scores'} id */
  const isEditor = (id) => `activeCustomEditorId == '${viewTypes[id]}'`;
  /** @param {keyof typeof panelViewTypes} panel */
  const isPanel = (panel) => `activeWebviewPanelId == '${panelViewTypes[panel]}'`;
  const isHeatmap = any(isPanel('heatmap'), isEditor('layerProfile'));
  const isCompression = any(isPanel('compression'), isEditor('sensitivity'));
  const isDataMap = any(isPanel('dataMap'), isEditor('scores'));
  const hasReport = any(
    .../** @type {const} */ (['layerProfile', 'sensitivity', 'plan', 'evaluation']).map(isDocument),
    `resourceFilename == ${manifestName}`,
  );
  const heatmapCell = `webviewId =~ /^${dotted(panelViewTypes.heatmap, viewTypes.layerProfile)}$/`;

  /** @param {boolean} inExplorer */
  const fileMenu = (inExplorer) => [
    submenu('model', '7_espalier@1', inExplorer ? any(isModelFolder, isModelFile) : isModelFile),
    submenu('plan', '7_espalier@1', isDocument('plan')),
    command('openHeatmap', '7_espalier@1', isDocument('layerProfile')),
    command('openCompression', '7_espalier@1', isDocument('sensitivity')),
    ...(inExplorer ? [command('scoreData', '7_espalier@2', isDataset)] : []),
    submenu('scores', '7_espalier@1', isDocument('scores')),
  ];
  const report = command('writeReport', '7_espalier@3', hasReport);
  return {
    'explorer/context': [...fileMenu(true), report],
    'editor/context': fileMenu(false),
    'editor/title/context': [...fileMenu(false), report],
    'editor/title': [
      command(
        'openHeatmap',
        'navigation',
        any(
          `(${isModelFile})`,
          isDocument('plan'),
          `(${isDocument('layerProfile')} && ${not(isEditor('layerProfile'))})`,
        ),
      ),
      command('openDataMap', 'navigation', all(isDocument('scores'), not(isEditor('scores')))),
      command(
        'openCompression',
        'navigation',
        all(isDocument('sensitivity'), not(isEditor('sensitivity'))),
      ),
    ],
    'espalier.model': [
      command('makeSmaller', '1_do@1', isAble('everything')),
      command('profileLayers', '1_do@2', isAble('profile')),
      command('evaluateModel', '1_do@3', isAble('evaluate')),
      command('inspectModel', '2_see@1'),
      submenu('modelMore', '3_more@1', isAble('everything')),
    ],
    'espalier.modelMore': [
      command('pruneLayers', '1_do@1', isAbleAnywhere('profile')),
      command('compressModel', '1_do@2', isAbleAnywhere('compress')),
      command('convertModel', '1_do@3'),
      command('repairModel', '1_do@4', isAbleAnywhere('repair')),
      command('scoreText', '1_do@5', isAbleAnywhere('evaluate')),
      command('openPlayground', '2_see@1', isAbleAnywhere('generate')),
      command('openHeatmap', '2_see@2', isAbleAnywhere('profile')),
      command('compareModels', '2_see@3'),
      command('revealPath', '3_path@1', 'viewItem'),
      command('copyPath', '3_path@2', 'viewItem'),
    ],
    'espalier.plan': [
      command('pruneLayers', '1_do@1'),
      command('compressModel', '1_do@2'),
      command('evaluateModel', '1_do@3'),
      command('patchLayer', '1_do@4'),
      command('openHeatmap', '2_see@1'),
    ],
    'espalier.scores': [
      command('exportSubset', '1_do@1'),
      command('compareSubsets', '1_do@2'),
      command('openDataMap', '2_see@1'),
    ],
    'view/title': [
      command('refreshModels', 'navigation', isView('models')),
      command('clearJobs', 'navigation', isView('jobs')),
    ],
    'view/item/context': [...modelRowMenu, ...partRowMenu, ...jobRowMenu, ...resultRowMenu],
    'webview/context': [
      command(
        'patchLayer',
        '1_patch@1',
        all("webviewSection == 'sublayer'", "mark == 'removed'", heatmapCell),
      ),
      command(
        'scoreExperts',
        '2_experts@1',
        all("webviewSection == 'sublayer'", 'hasExperts', heatmapCell),
      ),
    ],
    commandPalette: palette({
      openDataMap: isDocument('scores'),
      installCuda: 'espalier.canInstallCuda',
      installLlama: 'espalier.canInstallLlama',
      showDrift: isHeatmap,
      savePlan: isHeatmap,
      patchLayer: any(isHeatmap, isDocument('plan')),
      saveCompressionPlan: isCompression,
      exportSubset: isDataMap,
      compareSubsets: isDataMap,
      writeReport: any(hasReport, isEditor('layerProfile'), isEditor('sensitivity')),
      cancelJob: 'espalier.jobRunning',
      showJob: 'espalier.jobRunning',
      discardJob: 'espalier.jobsSaved',
    }),
  };
}

/**
 * Writes the menus of package.json.
 * @param {Record<string, any>} manifest changed in place
 * @param {Declarations} declarations
 */
export function settleMenus(manifest, declarations) {
  const menus = listMenus(declarations);
  const { commands, submenus } = manifest['contributes'];
  const known = new Set([
    ...commands.map((/** @type {{ command: string }} */ one) => one.command),
    ...submenus.map((/** @type {{ id: string }} */ one) => one.id),
  ]);
  for (const [menu, entries] of Object.entries(menus)) {
    for (const { command: id, submenu: other } of entries) {
      if (!known.has(id ?? other)) {
        throw new Error(`scripts/lib/menus.mjs: ${menu} has ${id ?? other}, which doesn't exist.`);
      }
    }
  }
  manifest['contributes'].menus = menus;
}

/** Commands that need an argument, such as a row of a view: the palette doesn't show them. */
const notInPalette = /** @type {const} */ ([
  'tryFamily',
  'planCompression',
  'scorePlans',
  'scoreExperts',
  'showValues',
  'refreshModels',
  'showInExplorer',
  'copyName',
  'openJobResult',
  'runJobAgain',
  'copyJobCommandLine',
  'showJobLog',
  'removeJob',
  'clearJobs',
  'openCompression',
  'makeSmaller',
  'profileSensitivity',
  'openResult',
  'revealPath',
  'copyPath',
]);

/**
 * @param {Partial<Record<CommandName, string>>} conditions
 * @returns {Entry[]}
 */
function palette(conditions) {
  return [
    ...notInPalette.map((name) => command(name, undefined, 'false')),
    ...Object.entries(conditions).map(([name, when]) =>
      command(/** @type {CommandName} */ (name), undefined, when),
    ),
  ];
}

const isModelFolder = any(
  'resourcePath in espalier.modelFolders',
  'resourcePath in espalier.modelFileFolders',
);
const isModelFile = any(
  '(resourceFilename == config.json && resourceDirname in espalier.modelFolders)',
  'resourceExtname == .safetensors',
  'resourceExtname == .gguf',
  'resourceExtname == .onnx',
  String.raw`resourceFilename =~ /\.safetensors\.index\.json$/`,
);
const isDataset = any(
  `(explorerResourceIsFolder && !(${isModelFolder}))`,
  String.raw`resourceExtname =~ /^\.(npz|csv|tsv|jsonl|ndjson|parquet)$/i`,
  String.raw`resourceFilename =~ /-ubyte(\.gz)?$/`,
);

/** Rows of models, and of results that are models. */
const modelRowMenu = [
  ...rows(any(isView('models'), isView('results')), [
    ['profileLayers', 'inline@1', all(isRow('^model'), isRow('profile'))],
    ['openPlayground', 'inline@0', all(isRow('^model'), isRow('generate'))],
    ['makeSmaller', '1_do@1', isRow('^model')],
    ['profileLayers', '1_do@2', all(isRow('^model'), isRow('profile'))],
    ['evaluateModel', '1_do@3', all(isRow('^model'), isRow('evaluate'))],
    ['inspectModel', '2_see@1', isRow('^(model|broken)')],
  ]),
  submenu(
    'modelMore',
    '3_more@1',
    all(`(${any(isView('models'), isView('results'))})`, isRow('^model')),
  ),
];

/** Rows below a model. */
const partRowMenu = rows(isView('models'), [
  ['showInExplorer', '1_see@1', 'viewItem =~ /^(block|sublayer|part|tensor)$/'],
  ['copyName', '9_copy@1', 'viewItem =~ /^(block|sublayer|tensor)$/'],
]);

const jobRowMenu = rows(isView('jobs'), [
  ['cancelJob', 'inline@1', isRow('active')],
  ['resumeJob', 'inline@1', isRow('resumable')],
  ['openJobResult', 'inline@1', isRow('done')],
  ['openJobResult', '1_open@1', isRow('done')],
  ['showJobLog', '1_open@2', isRow('(active|over)')],
  ['cancelJob', '2_run@1', isRow('active')],
  ['resumeJob', '2_run@1', isRow('resumable')],
  ['runJobAgain', '2_run@2', isRow('over')],
  ['copyJobCommandLine', '3_copy@1', isRow('(active|over)')],
  ['discardJob', '9_remove@1', isRow('resumable')],
  ['removeJob', '9_remove@2', all(isRow('over'), `!(${isRow('resumable')})`)],
]);

const hasPath = any(
  `(${isView('results')} && !(${isRow('^model')}))`,
  `(${isView('models')} && viewItem == broken)`,
);

const resultRowMenu = [
  ...rows(isView('results'), [
    ['openResult', '0_open@1', `!(${isRow('^(model|broken)')})`],
    [
      'writeReport',
      '1_open@1',
      'viewItem =~ /^(layerProfile|sensitivity|plan|evaluation|experiment)$/',
    ],
  ]),
  command('revealPath', '8_reveal@1', hasPath),
  command('copyPath', '9_copy@2', hasPath),
];

/**
 * Entries of the rows of a view.
 * @param {string} view
 * @param {readonly (readonly [CommandName, string, string])[]} entries command, group and condition
 */
function rows(view, entries) {
  const isThere = view.includes('||') ? `(${view})` : view;
  return entries.map(([name, group, when]) => command(name, group, all(isThere, when)));
}

/**
 * True for a model that a menu outside of the side bar may offer something for, or that isn't known yet.
 * @param {MenuWord | 'everything'} word
 */
function isAble(word) {
  const key = `espalier.without.${word}`;
  return String.raw`!(resourcePath in ${key}) && !(resourceDirname in ${key} && resourceExtname =~ /^\.(safetensors|json)$/)`;
}

/**
 * The same, also in the side bar.
 * @param {MenuWord} word
 */
function isAbleAnywhere(word) {
  return any(isRow(word), `(!viewItem && ${isAble(word)})`);
}

/** @param {'models' | 'results' | 'jobs'} view */
function isView(view) {
  return `view == espalier.${view}`;
}

/**
 * True for rows whose context has a word.
 * @param {string} word
 */
function isRow(word) {
  return String.raw`viewItem =~ /${word.startsWith('^') ? word : String.raw`\b${word}`}\b/`;
}

/** @param {readonly string[]} conditions */
function any(...conditions) {
  return conditions.join(' || ');
}

/** @param {readonly string[]} conditions */
function all(...conditions) {
  return conditions.join(' && ');
}

/** @param {string} equality */
function not(equality) {
  return equality.replace('==', '!=');
}

/**
 * A pattern of ids that share a prefix.
 * @param {string} first
 * @param {string} second
 */
function dotted(first, second) {
  const [prefix, ...names] = [
    first.split('.')[0],
    ...[first, second].map((id) => id.split('.')[1]),
  ];
  return String.raw`${prefix}\.(${names.join('|')})`;
}

/**
 * @param {CommandName} name
 * @param {string | undefined} group
 * @param {string} [when]
 * @returns {Entry}
 */
function command(name, group, when) {
  return {
    command: `espalier.${name}`,
    ...(when === undefined ? {} : { when }),
    ...(group === undefined ? {} : { group }),
  };
}

/**
 * @param {Submenu} name
 * @param {string} group
 * @param {string} when
 * @returns {Entry}
 */
function submenu(name, group, when) {
  return { submenu: `espalier.${name}`, when, group };
}
