import { defineConfig } from 'eslint/config';
import { createNodeResolver, importX } from 'eslint-plugin-import-x';
import tseslint from 'typescript-eslint';

const BELOW_SYSTEMS = ['jobs', 'onnx', 'checkpoints', 'models', 'runtime', 'distribute'];
const SYSTEMS = ['data', 'metrics', 'training', 'prune', 'tensornet', 'datadiet', 'symbolic'];

/**
 * What every folder of the core may import besides itself and the files at the core's root.
 * @type {Record<string, string[]>}
 */
const CORE_IMPORTS = {
  jobs: [],
  onnx: ['jobs'],
  checkpoints: ['jobs', 'onnx'],
  models: ['jobs', 'onnx', 'checkpoints'],
  runtime: ['jobs', 'onnx', 'checkpoints', 'models'],
  distribute: ['jobs', 'onnx', 'checkpoints', 'models', 'runtime'],
  'linear-algebra': BELOW_SYSTEMS,
  inspect: BELOW_SYSTEMS,
  data: BELOW_SYSTEMS,
  metrics: BELOW_SYSTEMS,
  training: [...BELOW_SYSTEMS, 'data'],
  prune: [...BELOW_SYSTEMS, 'data', 'metrics', 'training'],
  tensornet: [...BELOW_SYSTEMS, 'linear-algebra', 'data', 'metrics', 'training'],
  datadiet: [...BELOW_SYSTEMS, 'linear-algebra', 'data', 'training'],
  symbolic: [...BELOW_SYSTEMS, 'linear-algebra', 'data', 'metrics', 'training'],
  plans: [...BELOW_SYSTEMS, ...SYSTEMS],
  export: [...BELOW_SYSTEMS, 'linear-algebra', ...SYSTEMS],
  pipelines: [...BELOW_SYSTEMS, 'linear-algebra', ...SYSTEMS, 'plans', 'export'],
  generate: [...BELOW_SYSTEMS, ...SYSTEMS, 'export'],
  evaluate: [...BELOW_SYSTEMS, ...SYSTEMS, 'plans', 'export', 'pipelines', 'generate'],
};
CORE_IMPORTS['report'] = Object.keys(CORE_IMPORTS);
CORE_IMPORTS['documents'] = Object.keys(CORE_IMPORTS);
const BELOW_OPERATIONS = Object.keys(CORE_IMPORTS);
// The top of the core: what it is made of does not know what users ask for.
CORE_IMPORTS['operations'] = BELOW_OPERATIONS;
const CORE_FOLDERS = Object.keys(CORE_IMPORTS);

const HOST = ['extension.ts', 'commands', 'panels', 'editors', 'views', 'services'].map(
  (name) => `extension/${name}`,
);

const coreZones = Object.entries(CORE_IMPORTS)
  .map(([folder, allowed]) => ({
    target: `extension/core/${folder}`,
    from: CORE_FOLDERS.filter((other) => other !== folder && !allowed.includes(other)).map(
      (other) => `extension/core/${other}`,
    ),
    message: `core/${folder} imports only downward: ${allowed.join(', ') || 'nothing'}.`,
  }))
  .filter(({ from }) => from.length > 0);

const folderZones = [
  {
    target: 'extension/core',
    from: [...HOST, 'extension/protocol', 'extension/worker', 'extension/cli', 'webview', 'test'],
    message: 'core imports nothing of the other folders.',
  },
  {
    target: 'extension/protocol',
    from: [...HOST, 'extension/worker', 'extension/cli', 'webview', 'test'],
    message: 'protocol imports only types of core.',
  },
  {
    target: 'extension/worker',
    from: [...HOST, 'extension/cli', 'webview', 'test'],
    message: 'worker imports only core and protocol.',
  },
  {
    target: 'extension/cli',
    from: [...HOST, 'extension/worker', 'webview', 'test'],
    message: 'cli imports only core and protocol.',
  },
  {
    target: HOST,
    from: ['extension/worker', 'extension/cli', 'webview', 'test'],
    message: 'The host reaches the worker through protocol only.',
  },
  {
    target: 'webview',
    from: [...HOST, 'extension/worker', 'extension/cli', 'test'],
    message: 'webview imports only protocol.',
  },
  {
    target: 'webview',
    from: 'extension/core',
    except: ['./message.ts', './format.ts', './change-size.ts', './glossary.ts'],
    message: 'webview imports only protocol, and the words of the core.',
  },
];

const vscode = { name: 'vscode', message: 'Only the host side sees vscode.' };
const onnxruntime = {
  name: 'onnxruntime-node',
  message: 'Only core/runtime opens ONNX Runtime.',
};
const toolkit = {
  group: ['@vscode/webview-ui-toolkit', '@vscode/webview-ui-toolkit/*'],
  message: 'The toolkit stays behind webview/components/.',
};

/**
 * @param {{paths?: object[], patterns?: object[]}} options
 * @returns {import('eslint').Linter.RulesRecord}
 */
const restrictImports = (options) => ({
  'no-restricted-imports': 'off',
  '@typescript-eslint/no-restricted-imports': ['error', options],
});

export default defineConfig(
  {
    ignores: ['dist/', 'node_modules/', 'test/artifacts/', 'test/fixtures/', '**/*_pb.ts'],
  },
  {
    files: ['**/*.{ts,tsx}', '**/*.mts', '**/*.mjs'],
    linterOptions: { noInlineConfig: true, reportUnusedDisableDirectives: 'error' },
    plugins: { 'import-x': importX },
    settings: {
      'import-x/resolver-next': [
        createNodeResolver({ extensions: ['.ts', '.tsx', '.mjs', '.js'] }),
      ],
    },
    rules: {
      eqeqeq: 'error',
      'no-console': 'error',
      'import-x/no-duplicates': 'error',
      'import-x/no-restricted-paths': [
        'error',
        { basePath: import.meta.dirname, zones: [...coreZones, ...folderZones] },
      ],
    },
  },
  {
    files: ['**/*.{ts,tsx}', '**/*.mts'],
    extends: [tseslint.configs.strictTypeChecked, tseslint.configs.stylisticTypeChecked],
    languageOptions: {
      parserOptions: {
        project: ['./tsconfig.json', './webview/tsconfig.json', './test/e2e/tsconfig.json'],
        tsconfigRootDir: import.meta.dirname,
      },
    },
    rules: {
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/explicit-module-boundary-types': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: true },
      ],
      // A tenth of the time of lint, and the editor's API takes any object with `dispose` for a Disposable.
      '@typescript-eslint/no-unsafe-class-instance-assignment': 'off',
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true },
      ],
    },
  },
  {
    files: ['extension/**/*.ts', 'webview/**/*.{ts,tsx}'],
    rules: {
      'max-lines': ['error', { max: 400 }],
      ...restrictImports({ paths: [vscode, onnxruntime], patterns: [toolkit] }),
    },
  },
  {
    files: ['extension/extension.ts', 'extension/{commands,panels,editors,views,services}/**/*.ts'],
    rules: {
      ...restrictImports({ paths: [onnxruntime], patterns: [toolkit] }),
    },
  },
  {
    files: ['extension/core/runtime/**/*.ts'],
    rules: restrictImports({ paths: [vscode], patterns: [toolkit] }),
  },
  {
    files: ['extension/protocol/**/*.ts'],
    rules: restrictImports({
      paths: [vscode, onnxruntime],
      patterns: [
        { group: ['**/core/**'], allowTypeImports: true, message: 'protocol holds no logic.' },
      ],
    }),
  },
  {
    files: ['webview/**/*.{ts,tsx}'],
    rules: {
      ...restrictImports({
        paths: [vscode, onnxruntime],
        patterns: [
          toolkit,
          { group: ['node:*'], message: 'A webview runs in a browser, where Node is not.' },
        ],
      }),
      'no-restricted-globals': ['error', 'process', 'Buffer', 'global', 'require', '__dirname'],
    },
  },
  {
    files: ['webview/components/**/*.{ts,tsx}'],
    rules: restrictImports({ paths: [vscode, onnxruntime] }),
  },
  {
    files: ['test/**/*.ts'],
    rules: {
      '@typescript-eslint/no-empty-function': 'off',
      '@typescript-eslint/no-unnecessary-type-parameters': 'off',
      '@typescript-eslint/no-unsafe-enum-assignment': 'off',
    },
  },
  {
    files: ['extension/cli/**/*.ts', 'scripts/**/*.mjs', 'bench/**/*.ts'],
    rules: { 'no-console': 'off' },
  },
);
