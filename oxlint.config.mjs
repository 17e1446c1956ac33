// What typescript-eslint's strict and stylistic sets ask for, with types from the native compiler: seconds, not
// minutes. Which folder may import which is checked by test/lint/imports.test.ts.
const vscode = { name: 'vscode', message: 'Only the host side sees vscode.' };
const onnxruntime = {
  name: 'onnxruntime-node',
  message: 'Only core/runtime opens ONNX Runtime.',
};
const toolkit = {
  group: ['@vscode/webview-ui-toolkit', '@vscode/webview-ui-toolkit/*'],
  message: 'The toolkit stays behind webview/components/.',
};

/** Rules of the language that types do not tell. */
const PLAIN_RULES = [
  'no-array-constructor',
  'no-empty-function',
  'no-unused-expressions',
  'no-unused-vars',
  'no-useless-constructor',
  'no-var',
  'prefer-const',
  'prefer-rest-params',
  'prefer-spread',
];

/** typescript-eslint's strict and stylistic rules. */
const TYPED_RULES = [
  'adjacent-overload-signatures',
  'array-type',
  'await-thenable',
  'ban-tslint-comment',
  'class-literal-property-style',
  'consistent-generic-constructors',
  'consistent-indexed-object-style',
  'consistent-type-assertions',
  'consistent-type-definitions',
  'consistent-type-imports',
  'dot-notation',
  'explicit-module-boundary-types',
  'no-array-delete',
  'no-base-to-string',
  'no-confusing-non-null-assertion',
  'no-confusing-void-expression',
  'no-deprecated',
  'no-duplicate-enum-values',
  'no-duplicate-type-constituents',
  'no-dynamic-delete',
  'no-empty-object-type',
  'no-explicit-any',
  'no-extra-non-null-assertion',
  'no-extraneous-class',
  'no-floating-promises',
  'no-for-in-array',
  'no-generated-empty-object-type',
  'no-implied-eval',
  'no-inferrable-types',
  'no-invalid-void-type',
  'no-meaningless-void-operator',
  'no-misused-new',
  'no-misused-promises',
  'no-misused-spread',
  'no-mixed-enums',
  'no-namespace',
  'no-non-null-asserted-nullish-coalescing',
  'no-non-null-asserted-optional-chain',
  'no-non-null-assertion',
  'no-redundant-type-constituents',
  'no-require-imports',
  'no-this-alias',
  'no-unnecessary-boolean-literal-compare',
  'no-unnecessary-condition',
  'no-unnecessary-template-expression',
  'no-unnecessary-type-arguments',
  'no-unnecessary-type-assertion',
  'no-unnecessary-type-constraint',
  'no-unnecessary-type-conversion',
  'no-unnecessary-type-parameters',
  'no-unsafe-argument',
  'no-unsafe-assignment',
  'no-unsafe-call',
  'no-unsafe-declaration-merging',
  'no-unsafe-enum-comparison',
  'no-unsafe-function-type',
  'no-unsafe-member-access',
  'no-unsafe-return',
  'no-unsafe-unary-minus',
  'no-useless-default-assignment',
  'no-wrapper-object-types',
  'non-nullable-type-assertion-style',
  'only-throw-error',
  'prefer-as-const',
  'prefer-find',
  'prefer-for-of',
  'prefer-function-type',
  'prefer-includes',
  'prefer-literal-enum-member',
  'prefer-namespace-keyword',
  'prefer-nullish-coalescing',
  'prefer-optional-chain',
  'prefer-promise-reject-errors',
  'prefer-reduce-type-parameter',
  'prefer-regexp-exec',
  'prefer-return-this-type',
  'prefer-string-starts-ends-with',
  'related-getter-setter-pairs',
  'require-await',
  'triple-slash-reference',
  'unbound-method',
  'unified-signatures',
  'use-unknown-in-catch-callback-variable',
];

/** @param {readonly string[]} names */
const errors = (names) => Object.fromEntries(names.map((name) => [name, 'error']));

/** @param {{paths?: object[], patterns?: object[]}} options */
const restrictImports = (options) => ({ 'no-restricted-imports': ['error', options] });

export default {
  plugins: ['typescript', 'import'],
  categories: { correctness: 'off' },
  options: { typeAware: true },
  ignorePatterns: ['dist/', 'node_modules/', 'test/artifacts/', 'test/fixtures/', '**/*_pb.ts'],
  overrides: [
    {
      files: ['**/*.{ts,tsx,mts,mjs}'],
      rules: {
        eqeqeq: 'error',
        'no-console': 'error',
        'import/no-duplicates': 'error',
      },
    },
    {
      files: ['**/*.{ts,tsx,mts}'],
      rules: {
        ...errors(PLAIN_RULES),
        ...errors(TYPED_RULES.map((name) => `typescript/${name}`)),
        'typescript/ban-ts-comment': ['error', { minimumDescriptionLength: 10 }],
        'typescript/restrict-plus-operands': [
          'error',
          {
            allowAny: false,
            allowBoolean: false,
            allowNullish: false,
            allowNumberAndString: false,
            allowRegExp: false,
          },
        ],
        'typescript/restrict-template-expressions': [
          'error',
          { allowNumber: true, allowBoolean: true },
        ],
        'typescript/return-await': ['error', 'error-handling-correctness-only'],
        'typescript/switch-exhaustiveness-check': [
          'error',
          { considerDefaultExhaustiveForUnions: true },
        ],
      },
    },
    {
      files: ['extension/**/*.ts', 'webview/**/*.{ts,tsx}'],
      rules: {
        ...restrictImports({ paths: [vscode, onnxruntime], patterns: [toolkit] }),
      },
    },
    {
      files: [
        'extension/extension.ts',
        'extension/host.ts',
        'extension/{commands,panels,editors,views,services}/**/*.ts',
      ],
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
        'no-empty-function': 'off',
        'typescript/no-unnecessary-type-parameters': 'off',
      },
    },
    {
      files: ['extension/cli/**/*.ts', 'scripts/**/*.mjs', 'bench/**/*.ts'],
      rules: { 'no-console': 'off' },
    },
  ],
};
