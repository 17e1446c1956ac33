import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import { jobOperations } from '../../extension/services/jobs/operations';
import { parseSource } from './parse-source';

export const root = join(import.meta.dirname, '../..');

/** Files whose texts the editor shows. */
export const shownSources: readonly string[] = [
  ...['commands', 'panels', 'editors', 'views', 'services', 'core'].map((name) =>
    join('extension', name),
  ),
  'webview',
].flatMap((folder) =>
  readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((file) => /\.tsx?$/.test(file) && !file.endsWith('_pb.ts'))
    .map((file) => join(root, folder, file)),
);

/** Calls that translate a pattern. */
const isTranslation = (call: ts.CallExpression): boolean =>
  /^(l10n\.)?t$|(^|\.)translate$/.test(call.expression.getText());

/** The pattern of a message: `` say`${n} of them` `` is `{0} of them`. */
function templatePattern(template: ts.TemplateLiteral): string {
  return ts.isNoSubstitutionTemplateLiteral(template)
    ? template.text
    : [template.head.text, ...template.templateSpans.map(({ literal }) => literal.text)].reduce(
        (pattern, part, i) => `${pattern}{${i - 1}}${part}`,
      );
}

/** String literals in an expression, such as both of a conditional. */
function literalsIn(node: ts.Node): string[] {
  const found: string[] = ts.isStringLiteralLike(node) ? [node.text] : [];
  ts.forEachChild(node, (child) => {
    found.push(...literalsIn(child));
  });
  return found;
}

/** Patterns of all messages in a file; `unknown` are calls whose pattern is not written there. */
export function findMessages(file: string): { patterns: string[]; unknown: string[] } {
  const patterns: string[] = [];
  const unknown: string[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isTaggedTemplateExpression(node) && node.tag.getText() === 'say') {
      patterns.push(templatePattern(node.template));
    } else if (ts.isCallExpression(node) && isTranslation(node)) {
      const [pattern] = node.arguments;
      if (pattern !== undefined && ts.isStringLiteralLike(pattern)) {
        patterns.push(pattern.text);
      } else {
        unknown.push(`${file}: ${node.getText()}`);
      }
    } else if (ts.isCallExpression(node) && /^(counted|several)$/.test(node.expression.getText())) {
      const nouns = node.arguments.slice(1).flatMap(literalsIn);
      patterns.push(...nouns.flatMap((noun) => [`1 ${noun}`, `{0} ${noun}s`]));
    }
    ts.forEachChild(node, visit);
  };
  visit(parseSource(file));
  return { patterns, unknown };
}

/** Texts that operations declare and the editor shows. */
const declared = Object.values(jobOperations).map(({ title }) => title);

/** All texts for translators. A pattern without a word, comma, colon or space of its own needs no translation. */
export function buildCatalogue(messages: readonly string[]): Record<string, string> {
  const texts = [...messages, ...declared].filter((text) =>
    /\p{L}|[:,] |^ $/u.test(text.replace(/\{\d+\}/g, '')),
  );
  return Object.fromEntries([...new Set(texts)].sort().map((text) => [text, text]));
}
