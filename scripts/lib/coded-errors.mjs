// Reads from the source which error codes exist, and which messages each of them has.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import { root } from './repository.mjs';

/**
 * A code with the messages next to it: `fault('file-missing', say…)` or `{ code: 'file-missing', reason: say… }`.
 * @typedef {object} CodedMessages
 * @property {string} code
 * @property {string} place File and line.
 * @property {string[]} messages Patterns in English; empty if the text comes from elsewhere.
 */

/** Classes of errors that users see. */
const errorClasses = /^(?:UserError|RequestError)$/;
/** Properties of an object with a `code` that have its message. */
const messageNames = ['problem', 'reason', 'message'];

/** @param {string} path */
const read = (path) => readFileSync(join(root, path), 'utf8');

/**
 * @param {string} path
 * @param {string} [text]
 */
const parse = (path, text = read(path)) =>
  ts.createSourceFile(path, text, ts.ScriptTarget.ES2023, true);

/** Matches strings that may be codes, and errors whose code is computed elsewhere. */
const codesOrErrors = /'([a-z\d]+(?:-[a-z\d]+)+)'|\bnew (?:UserError|RequestError)\b/g;

/** All codes of the type `ErrorCode`, in the order of the source. */
export function listErrorCodes() {
  /** @type {string[]} */
  const codes = [];
  ts.forEachChild(parse('extension/core/error-codes.ts'), (statement) => {
    if (ts.isTypeAliasDeclaration(statement) && ts.isUnionTypeNode(statement.type)) {
      codes.push(...statement.type.types.map((type) => type.getText().slice(1, -1)));
    }
  });
  return codes;
}

/** Every place in the source that pairs a code with messages, and every error whose code is computed elsewhere. */
export function collectCodedErrors() {
  const codes = new Set(listErrorCodes());
  /** @type {CodedMessages[]} */
  const coded = [];
  /** @type {{ place: string; code: string }[]} */
  const forwarded = [];
  const files = readdirSync(join(root, 'extension'), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts') && !file.endsWith('_pb.ts'))
    .map((file) => join('extension', file))
    .sort();
  for (const file of files) {
    const text = read(file);
    const found = [...text.matchAll(codesOrErrors)];
    // Parsing takes most of the time.
    if (!found.some(([, code]) => code === undefined || codes.has(code))) continue;
    const source = parse(file, text);
    /** @param {ts.Node} node */
    const locate = (node) =>
      `${file}:${source.getLineAndCharacterOfPosition(node.getStart()).line + 1}`;
    /** @param {ts.Expression} code @param {ts.Expression} message */
    const add = (code, message) => {
      coded.push(...pairs(code, message).map((pair) => ({ ...pair, place: locate(code) })));
    };
    /** @param {ts.Node} node */
    const visit = (node) => {
      const list =
        ts.isCallExpression(node) || ts.isNewExpression(node)
          ? (node.arguments ?? [])
          : ts.isArrayLiteralExpression(node)
            ? node.elements
            : [];
      const index = list.findIndex((part) => areCodes(part, codes));
      const [code, message] = [list[index], list[index + 1]];
      if (code !== undefined && message !== undefined) add(code, message);
      else if (ts.isNewExpression(node) && errorClasses.test(node.expression.getText())) {
        forwarded.push({ place: locate(node), code: list[0]?.getText() ?? '' });
      }
      if (ts.isObjectLiteralExpression(node)) {
        const value = findProperty(node, ['code']);
        const text = findProperty(node, messageNames);
        if (value !== undefined && text !== undefined && areCodes(value, codes)) add(value, text);
      }
      ts.forEachChild(node, visit);
    };
    visit(source);
  }
  return { coded, forwarded };
}

/**
 * True for a code, or a choice between codes.
 * @param {ts.Expression} node
 * @param {ReadonlySet<string>} codes
 * @returns {boolean}
 */
function areCodes(node, codes) {
  const plain = withoutCast(node);
  return ts.isConditionalExpression(plain)
    ? areCodes(plain.whenTrue, codes) && areCodes(plain.whenFalse, codes)
    : ts.isStringLiteral(plain) && codes.has(plain.text);
}

/**
 * The codes in an expression with their messages: two conditional expressions correspond.
 * @param {ts.Expression} code
 * @param {ts.Expression} message
 * @returns {{ code: string; messages: string[] }[]}
 */
function pairs(code, message) {
  const plain = withoutCast(code);
  if (!ts.isConditionalExpression(plain)) {
    return [{ code: /** @type {ts.StringLiteral} */ (plain).text, messages: messagesIn(message) }];
  }
  const text = resolved(message);
  const [first, second] = ts.isConditionalExpression(text)
    ? [text.whenTrue, text.whenFalse]
    : [message, message];
  return [...pairs(plain.whenTrue, first), ...pairs(plain.whenFalse, second)];
}

/**
 * Patterns of the messages that an expression can have.
 * @param {ts.Expression} expression
 * @returns {string[]}
 */
function messagesIn(expression) {
  const node = resolved(expression);
  if (ts.isTaggedTemplateExpression(node) && node.tag.getText() === 'say') {
    return [toPattern(node.template)];
  }
  if (ts.isConditionalExpression(node)) {
    return [node.whenTrue, node.whenFalse].flatMap(messagesIn);
  }
  if (ts.isBinaryExpression(node)) {
    return [node.left, node.right].flatMap(messagesIn);
  }
  if (ts.isArrowFunction(node)) {
    return ts.isBlock(node.body) ? returned(node.body).flatMap(messagesIn) : messagesIn(node.body);
  }
  if (ts.isCallExpression(node) && node.expression.getText() === 'joined') {
    const [parts] = node.arguments;
    return parts !== undefined && ts.isArrayLiteralExpression(parts)
      ? parts.elements.flatMap(messagesIn)
      : [];
  }
  // Text that a helper puts into a message.
  return ts.isStringLiteralLike(node) || ts.isTemplateExpression(node) ? [toPattern(node)] : [];
}

/**
 * Expressions that a function returns.
 * @param {ts.Node} body
 * @returns {ts.Expression[]}
 */
function returned(body) {
  /** @type {ts.Expression[]} */
  const found = [];
  ts.forEachChild(body, (child) => {
    if (ts.isReturnStatement(child) && child.expression !== undefined) found.push(child.expression);
    else if (!ts.isFunctionLike(child)) found.push(...returned(child));
  });
  return found;
}

/**
 * The value of a constant of the same file, or the default of a parameter; other expressions are returned as they are.
 * @param {ts.Expression} node
 * @returns {ts.Expression}
 */
function resolved(node) {
  const plain = withoutCast(node);
  if (!ts.isIdentifier(plain)) return plain;
  for (let scope = plain.parent; scope !== undefined; scope = scope.parent) {
    const parameter = ts.isFunctionLike(scope)
      ? scope.parameters.find(({ name }) => name.getText() === plain.text)
      : undefined;
    if (parameter !== undefined) return parameter.initializer ?? plain;
    if (!ts.isBlock(scope) && !ts.isSourceFile(scope)) continue;
    for (const statement of scope.statements) {
      const declarations = ts.isVariableStatement(statement)
        ? statement.declarationList.declarations
        : [];
      const found = declarations.find(({ name }) => name.getText() === plain.text);
      if (found?.initializer !== undefined) return found.initializer;
    }
  }
  return plain;
}

/**
 * @param {ts.Expression} node
 * @returns {ts.Expression}
 */
const withoutCast = (node) =>
  ts.isAsExpression(node) || ts.isParenthesizedExpression(node)
    ? withoutCast(node.expression)
    : node;

/**
 * `{0} of them`
 * @param {ts.StringLiteralLike | ts.TemplateLiteral} template
 */
function toPattern(template) {
  return ts.isTemplateExpression(template)
    ? [template.head.text, ...template.templateSpans.map(({ literal }) => literal.text)].reduce(
        (pattern, part, i) => `${pattern}{${i - 1}}${part}`,
      )
    : template.text;
}

/**
 * Value of the first of the properties that the object has.
 * @param {ts.ObjectLiteralExpression} object
 * @param {readonly string[]} names
 */
function findProperty(object, names) {
  for (const property of object.properties) {
    if (ts.isPropertyAssignment(property) && names.includes(property.name.getText())) {
      return property.initializer;
    }
  }
  return undefined;
}

/** docs/reference/errors.md: every code with its messages. */
export function errorsReference() {
  const { coded } = collectCodedErrors();
  const lines = listErrorCodes().map((code) => {
    const messages = new Set(
      coded.filter((one) => one.code === code).flatMap((one) => one.messages),
    );
    const texts = [...messages].filter(hasWords).sort().map(escapeMarkdown);
    return `- \`${code}\`: ${texts.length === 0 ? 'The message gives the reason.' : texts.join(' / ')}`;
  });
  return [
    '<!-- Written by scripts/generate.mjs. Edit the source instead. -->',
    '# Error codes',
    'Each error has a code that stays the same when its text is edited, so that scripts can compare it. In the texts, `…` is a name or a number.',
    'With `--json`, a command that fails prints its error to standard output, and tools of `espalier mcp` answer with the same JSON. `file` and `field` are present if the error is about one:',
    `\`\`\`json\n${JSON.stringify({ error: { code: 'file-missing', message: 'missing.plan.json: There is no such plan. Check the path.', file: 'missing.plan.json' } }, undefined, 2)}\n\`\`\``,
    lines.join('\n'),
  ].join('\n\n');
}

/**
 * True if a pattern has words, not only what it is filled with.
 * @param {string} pattern
 */
export const hasWords = (pattern) => /\p{L}/u.test(pattern.replaceAll(/\{\d+\}/g, ''));

/** @param {string} pattern */
const escapeMarkdown = (pattern) =>
  pattern.replaceAll(/[\\`*_<>|[\]#]/g, String.raw`\$&`).replaceAll(/\{\d+\}/g, '…');
