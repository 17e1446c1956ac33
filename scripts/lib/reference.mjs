/** @typedef {import('./core-modules.mjs').Declarations} Declarations */
/** @typedef {import('../../extension/core/operations/fields').Field} Field */
/** @typedef {Record<string, any>} Json */

const note = '<!-- Written by scripts/generate.mjs. Edit the declarations instead. -->';

/**
 * docs/reference/cli.md: every command with its options.
 * @param {Declarations} declarations
 */
export function cliReference(declarations) {
  const { operations, legacyCommands, presenters, commonFields } = declarations;
  const common = optionRows(commonFields, declarations);
  const sections = operations.flatMap((operation) => {
    const { id, summary, fields, rules, result } = operation;
    const positional = Object.values(fields).filter((field) => field.positional);
    const usage = ['espalier', id, ...positional.map(placeholderOf), '[options]'].join(' ');
    const name = declarations.asFlag(fields);
    const notes = [...new Set(rules.map((rule) => rule.describe(name)))];
    return [
      `## ${id}`,
      summary,
      `    ${usage}`,
      table([
        ...optionRows(fields, declarations),
        ...optionRows(presenters[id].options, declarations),
      ]),
      ...notes.map((text) => `- ${text}`),
      `The JSON result has at least \`${shapeOf(result)}\`.`,
    ];
  });
  const legacy = legacyCommands.flatMap(({ name, summary, usage }) => [
    `## ${name}`,
    summary,
    ['```', `espalier ${name} ${usage}`, '```'].join('\n'),
  ]);
  return [
    note,
    '# Command line',
    'Options of every command: ',
    table(common),
    'Exit codes: 0 success, 1 failure, 2 a wrong command line, 130 stopped with Ctrl-C, 143 stopped by SIGTERM.',
    '`espalier completion bash`, `zsh` or `fish` prints a completion script.',
    ...sections,
    ...legacy,
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
  const rows = properties.map(([name, { default: value, enum: choices, markdownDescription }]) => [
    `\`${name}\``,
    inCell(words[markdownDescription.replaceAll('%', '')] ?? ''),
    `\`${JSON.stringify(value)}\``,
    choices === undefined ? '' : choices.join(', '),
    users(name).join(', '),
  ]);
  const headings = ['Setting', 'Description', 'Default', 'Choices', 'Read by'];
  return [note, '# Settings', markdownTable(headings, rows)].join('\n\n');
}

/**
 * docs/reference/files.md: the documents that the editor opens.
 * @param {Json} manifest
 * @param {Record<string, string>} words
 */
export function filesReference(manifest, words) {
  const { customEditors, jsonValidation } = manifest['contributes'];
  const rows = [
    .../** @type {Json[]} */ (customEditors).map(({ displayName, selector }) => [
      selector.map((/** @type {Json} */ one) => `\`${one['filenamePattern']}\``).join(', '),
      words[displayName.replaceAll('%', '')] ?? '',
    ]),
    .../** @type {Json[]} */ (jsonValidation).map(({ fileMatch, url }) => [
      `\`${fileMatch}\``,
      `Text editor, schema ${url.replace('./', '')}`,
    ]),
  ];
  return [note, '# Files', markdownTable(['File', 'Opens in'], rows)].join('\n\n');
}

/**
 * Puts the choices, bounds and defaults of fields into the settings that give their values.
 * @param {Json} manifest changed in place
 * @param {Declarations} declarations
 */
export function settleSettings(manifest, { operations }) {
  const { properties } = manifest['contributes'].configuration;
  /** @type {Map<string, number>} */
  const minimums = new Map();
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
      }
      if (field.min !== undefined) {
        property.minimum = Math.min(field.min, minimums.get(field.setting) ?? field.min);
        minimums.set(field.setting, property.minimum);
      }
      if (field.max !== undefined) property.maximum = field.max;
      if (field.above !== undefined) property.exclusiveMinimum = field.above;
      if (field.default !== undefined) property.default = field.default;
    }
  }
}

/**
 * @param {Readonly<Record<string, Field>>} fields
 * @param {Declarations} declarations
 */
function optionRows(fields, { flagsOf }) {
  return Object.entries(fields).flatMap(([key, field]) =>
    flagsOf(key, field).map(({ long, takesValue, description }) => [
      `\`${long}${takesValue ? ` ${field.placeholder}` : ''}\``,
      description,
      field.setting === undefined ? '' : `\`espalier.${field.setting}\``,
    ]),
  );
}

/** @param {string[][]} rows */
function table(rows) {
  return markdownTable(['Option', 'Description', 'Setting'], rows);
}

/** @param {Field} field */
function placeholderOf({ placeholder, present }) {
  return present ? placeholder : `[${placeholder}]`;
}

/**
 * `{perplexity, against: {…}}`
 * @param {any} schema
 * @returns {string}
 */
function shapeOf(schema) {
  if (schema.entries !== undefined) {
    const entries = Object.entries(schema.entries).map(([key, value]) => {
      const inner = /** @type {any} */ (value);
      const optional = inner.type === 'optional';
      const shape = shapeOf(optional ? inner.wrapped : inner);
      return `${key}${optional ? '?' : ''}${shape === '' ? '' : `: ${shape}`}`;
    });
    return `{${entries.join(', ')}}`;
  }
  if (schema.type === 'array') return `[${shapeOf(schema.item)}]`;
  if (schema.type === 'union') return schema.options.map(shapeOf).join(' or ');
  return '';
}

/**
 * @param {string[]} headings
 * @param {string[][]} rows
 */
function markdownTable(headings, rows) {
  const lines = [headings, headings.map(() => '---'), ...rows.map((row) => row.map(inCell))];
  return lines.map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

/** @param {string} text */
function inCell(text) {
  return text.replaceAll('|', String.raw`\|`).replaceAll('\n', ' ');
}
