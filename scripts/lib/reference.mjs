/** @typedef {import('./core-modules.mjs').Declarations} Declarations */
/** @typedef {import('../../extension/core/operations/fields').Field} Field */
/** @typedef {Record<string, any>} Json */

const note = '<!-- Written by scripts/generate.mjs. Edit the declarations instead. -->';

/**
 * docs/reference/cli.md: every command with its options.
 * @param {Declarations} declarations
 */
export function cliReference(declarations) {
  const { operations, getPresenter, commonFields } = declarations;
  const common = optionItems(commonFields, declarations);
  const sections = operations.flatMap((operation) => {
    const { id, summary, fields, rules, result } = operation;
    const positional = Object.values(fields).filter((field) => field.positional);
    const usage = ['espalier', id, ...positional.map(formatPlaceholder), '[options]'].join(' ');
    const name = declarations.asFlag(fields);
    const notes = [...new Set(rules.map((rule) => declarations.inEnglish(rule.describe(name))))];
    return [
      `## ${id}`,
      summary,
      `    ${usage}`,
      [
        ...optionItems(fields, declarations),
        ...optionItems(getPresenter(id).options, declarations),
      ].join('\n'),
      ...(notes.length === 0 ? [] : ['Rules:', notes.map((text) => `- ${text}`).join('\n')]),
      `The JSON result has at least \`${formatShape(result)}\`.`,
    ];
  });
  return [
    note,
    '# Command line',
    'Every command takes these options:',
    common.join('\n'),
    'Exit codes: 0 success, 1 failure, 2 a wrong command line, 130 stopped with Ctrl-C, 143 stopped by SIGTERM.',
    '`espalier completion bash`, `zsh` or `fish` prints a completion script. `espalier mcp` serves tools to agents.',
    ...sections,
  ].join('\n\n');
}

/**
 * docs/reference/settings.md.
 * @param {Json} manifest
 * @param {Record<string, string>} words
 * @param {Declarations} declarations
 */
export function settingsReference(manifest, words, { operations }) {
  /** @param {string} name */
  const users = (name) =>
    operations
      .filter(({ fields }) =>
        Object.values(fields).some(({ setting }) => `espalier.${setting}` === name),
      )
      .map(({ id }) => id);
  const properties = Object.entries(manifest['contributes'].configuration.properties);
  const sections = properties.flatMap(
    ([name, { default: value, enum: choices, enumDescriptions = [], markdownDescription }]) => [
      `## ${name}`,
      resolveText(markdownDescription, words),
      [
        `- Default: ${value === null ? 'none' : `\`${JSON.stringify(value)}\``}`,
        ...(choices === undefined
          ? []
          : [
              '- Choices:',
              ...choices.map(
                (/** @type {string} */ choice, /** @type {number} */ i) =>
                  `  - \`${choice}\`: ${resolveText(enumDescriptions[i] ?? '', words)}`,
              ),
            ]),
        ...(users(name).length === 0 ? [] : [`- Used by: ${users(name).join(', ')}`]),
      ].join('\n'),
    ],
  );
  return [note, '# Settings', ...sections].join('\n\n');
}

/**
 * docs/reference/files.md: documents and model files.
 * @param {Json} manifest
 * @param {Record<string, string>} words
 * @param {Declarations} declarations
 */
export function filesReference(manifest, words, declarations) {
  const { documentIds, documentNames, documentTypes, documentContributions, requestSuffix } =
    declarations;
  const operations =
    /** @type {import('../../extension/core/operations/operation').AnyOperation[]} */ (
      /** @type {unknown} */ (declarations.operations)
    );
  /**
   * @param {import('../../extension/core/document-names').DocumentId} document
   * @param {'reads' | 'writes'} access
   */
  const documentCommands = (document, access) =>
    operations
      .filter(
        ({ fields, writesNextTo = [] }) =>
          Object.values(fields).some((field) => [field[access]].flat().includes(document)) ||
          (access === 'writes' && writesNextTo.includes(document)),
      )
      .map(({ id }) => id);
  const { customEditors } = manifest['contributes'];
  const { jsonValidation } = documentContributions();
  /** @param {string} pattern */
  const findEditor = (pattern) => {
    const editor = /** @type {Json[]} */ (customEditors).find(({ selector }) =>
      selector.some((/** @type {Json} */ one) => one['filenamePattern'] === pattern),
    );
    return editor && (words[editor['displayName'].replaceAll('%', '')] ?? '');
  };
  /** @param {string} pattern */
  const opensIn = (pattern) => {
    const schema = jsonValidation.find(({ fileMatch }) => fileMatch === pattern)?.url;
    const text = schema === undefined ? '' : `, with ${schema.replace('./', '')}`;
    return findEditor(pattern) ?? `Text editor${text}`;
  };
  const models = ['*.safetensors', '*.gguf', '*.onnx'];
  const sections = documentIds.flatMap((id) => {
    const pattern = `*${documentNames[id].suffix}`;
    const { what, schema, paths } = documentTypes[id];
    /** @param {readonly string[]} commands */
    const listed = (commands) =>
      commands.length === 0
        ? 'no command'
        : commands.map((name) => `\`espalier ${name}\``).join(', ');
    return [
      `## ${pattern}`,
      `${what[0]?.toUpperCase()}${what.slice(1)}.`,
      [
        `- Written by: ${listed(documentCommands(id, 'writes'))}.`,
        `- Read by: ${listed(documentCommands(id, 'reads'))}.`,
        `- Opens in: ${opensIn(pattern)}.`,
        `- Default place: ${places[documentNames[id].nextTo]}.`,
        `- Refers to: ${paths.map((path) => `\`${path}\``).join(', ') || 'no other files'}.`,
      ].join('\n'),
      'Fields:',
      fieldItems(schema).join('\n'),
    ];
  });
  return [
    note,
    '# Files',
    'Espalier treats every document as untrusted input. It checks the document against its schema; an error names the file and the field. Nothing in a document is run. You can open documents in an untrusted workspace, but commands that run or write a model wait for trust.',
    'A `selection` may hold `indices` alone, as other tools write it. Unknown fields are ignored, except in a plan: there they are an error.',
    ...sections,
    `## *${requestSuffix}`,
    `Options of a command, as \`--print-config\` prints them and \`--config\` reads them. The text editor completes and checks its fields, with ${opensIn(`*${requestSuffix}`).replace('Text editor, with ', '')}.`,
    '## Models',
    `${models.map((pattern) => `\`${pattern}\``).join(', ')} open in: ${findEditor('*.gguf')}. Espalier reads their headers, and weights by offset; it never runs code from a model folder.`,
  ].join('\n\n');
}

/** @type {Record<import('../../extension/core/document-names').DocumentPlace, string>} */
const places = {
  model: 'next to the model',
  data: 'next to the dataset',
  text: 'next to the text',
  output: 'next to the other output',
  asked: 'none, it is written with `--out` only',
};

/**
 * The fields of a document, with their descriptions; those of a field too where each has one.
 * @param {any} schema
 * @param {string} [prefix]
 * @returns {string[]}
 */
function fieldItems(schema, prefix = '') {
  return Object.entries(schema.entries).flatMap(([key, value]) => {
    const field = /** @type {any} */ (value);
    const optional = /optional$/.test(field.type) ? ' (optional)' : '';
    const text = findDescription(field) ?? findDescription(field.wrapped ?? {}) ?? '';
    const item = `- \`${prefix}${key}\`${optional}${text === '' ? '' : `: ${text}.`}`;
    const inner = field.wrapped ?? field;
    const parts = Object.values(inner.entries ?? {});
    const areDescribed = parts.length > 0 && parts.every((part) => findDescription(part));
    return areDescribed ? [item, ...fieldItems(inner, `${prefix}${key}.`)] : [item];
  });
}

/**
 * Text of a placeholder in package.json: `%key%`.
 * @param {string} place
 * @param {Record<string, string>} words
 */
function resolveText(place, words) {
  // Links to commands work in the editor only.
  return (words[place.replaceAll('%', '')] ?? '').replaceAll(
    /\[([^\]]+)\]\(command:[^)]*\)/g,
    '_$1_',
  );
}

/**
 * @param {any} schema
 * @returns {string | undefined}
 */
function findDescription({ pipe = [] }) {
  for (const action of pipe) {
    const text = action.description ?? action.metadata?.description;
    if (typeof text === 'string') return text.replace(/\.$/, '');
  }
  return undefined;
}

/**
 * Puts the choices, bounds and defaults of fields into the settings that give their values.
 * @param {Json} manifest changed in place
 * @param {Record<string, string>} words of package.nls.json, changed in place
 * @param {Declarations} declarations
 */
export function settleSettings(manifest, words, { operations }) {
  const { properties } = manifest['contributes'].configuration;
  /** @type {Map<string, number>} */
  const minimums = new Map();
  /** @type {Map<string, Set<unknown>>} */
  const defaults = new Map();
  for (const { fields } of operations) {
    for (const field of /** @type {Field[]} */ (Object.values(fields))) {
      const property = properties[`espalier.${field.setting}`];
      if (field.setting === undefined) continue;
      if (property === undefined) {
        throw new Error(`package.json lacks the setting espalier.${field.setting}`);
      }
      if (field.choices !== undefined) {
        const offered = field.choices.filter((choice) => !field.flagOnly.includes(choice));
        property.enum = offered;
        property.enumDescriptions = offered.map((choice) => `%setting.${field.setting}.${choice}%`);
        property.enumItemLabels = property.enumDescriptions.map((/** @type {string} */ text) =>
          text.replace(/%$/, '.label%'),
        );
        for (const choice of offered) {
          const text = field.choiceTexts?.[choice];
          if (text !== undefined) words[`setting.${field.setting}.${choice}`] = text;
        }
      }
      if (field.min !== undefined) {
        property.minimum = Math.min(field.min, minimums.get(field.setting) ?? field.min);
        minimums.set(field.setting, property.minimum);
      }
      if (field.max !== undefined) property.maximum = field.max;
      if (field.above !== undefined) property.exclusiveMinimum = field.above;
      const known = defaults.get(field.setting) ?? new Set();
      defaults.set(field.setting, known.add(field.default));
      if (field.default !== undefined) property.default = field.default;
    }
  }
  for (const [setting, known] of defaults) {
    const property = properties[`espalier.${setting}`];
    // If some operations choose a value themselves, no number represents an unset setting.
    if (known.size > 1 && known.has(undefined) && property.type.includes('integer')) {
      property.type = ['integer', 'null'];
      property.default = null;
    }
  }
}

/**
 * @param {Readonly<Record<string, Field>>} fields
 * @param {Declarations} declarations
 */
function optionItems(fields, { fieldFlags }) {
  return Object.entries(fields).flatMap(([key, field]) =>
    fieldFlags(key, field).map(({ long, takesValue, description }) => {
      const setting = field.setting === undefined ? '' : ` Setting: \`espalier.${field.setting}\`.`;
      return `- \`${long}${takesValue ? ` ${field.placeholder}` : ''}\`: ${description}.${setting}`;
    }),
  );
}

/** @param {Field} field */
function formatPlaceholder({ placeholder, present }) {
  return present ? placeholder : `[${placeholder}]`;
}

/**
 * `{perplexity, against: {…}}`
 * @param {any} schema
 * @returns {string}
 */
function formatShape(schema) {
  if (schema.entries !== undefined) {
    const entries = Object.entries(schema.entries).map(([key, value]) => {
      const inner = /** @type {any} */ (value);
      const optional = inner.type === 'optional';
      const shape = formatShape(optional ? inner.wrapped : inner);
      return `${key}${optional ? '?' : ''}${shape === '' ? '' : `: ${shape}`}`;
    });
    return `{${entries.join(', ')}}`;
  }
  if (schema.type === 'array') return `[${formatShape(schema.item)}]`;
  if (schema.type === 'union') return schema.options.map(formatShape).join(' or ');
  return '';
}
