import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';
import bundle from '../../../l10n/bundle.l10n.json';
import manifest from '../../../package.json';
import strings from '../../../package.nls.json';
import { parseSource } from './parse-source';

/** What nobody says, with what to say instead in the project's list of words. */
const unsaid =
  /\b(of which|that which|(is|are) to be|comes? to|tells of|in the place of|mend(ed)?|remarks?|usual|whole numbers?|dense model|whole model|carr(y|ied) out|goes on|of (no|a) kind that|so that (none|no))\b/i;

const core = join(import.meta.dirname, '../../../extension');
const sources = ['core', 'cli'].flatMap((folder) =>
  readdirSync(join(core, folder), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts') && !file.endsWith('_pb.ts'))
    .map((file) => join(core, folder, file)),
);

/** Properties whose texts users read. */
const told = new Set(['remedy', 'reason', 'problem', 'description', 'summary', 'off', 'title']);

/** Texts of errors, refusals, help and descriptions in a file; what is filled in stands as `…`. */
function textsOf(file: string): string[] {
  const source = parseSource(file);
  const found: string[] = [];
  const collect = (node: ts.Node): void => {
    if (ts.isStringLiteralLike(node)) {
      found.push(node.text);
    } else if (ts.isTaggedTemplateExpression(node)) {
      collect(node.template);
    } else if (ts.isTemplateExpression(node)) {
      found.push(
        [node.head.text, ...node.templateSpans.map(({ literal }) => literal.text)].join('…'),
      );
    } else if (ts.isConditionalExpression(node)) {
      collect(node.whenTrue);
      collect(node.whenFalse);
    }
  };
  const visit = (node: ts.Node): void => {
    if (ts.isNewExpression(node) && node.expression.getText().endsWith('Error')) {
      node.arguments?.slice(0, 1).forEach(collect);
    } else if (ts.isPropertyAssignment(node) && told.has(node.name.getText())) {
      collect(node.initializer);
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

const withUnsaid = (texts: readonly string[]): string[] =>
  texts.filter((text) => unsaid.test(text));

describe('what users read', () => {
  it('is said as people say it: manifest and host', () => {
    expect(withUnsaid([...Object.values(strings), ...Object.values(bundle)])).toEqual([]);
  });

  it('is said as people say it: errors, refusals and help', () => {
    const texts = sources.flatMap(textsOf);
    expect(texts.length).toBeGreaterThan(800);
    expect(withUnsaid(texts)).toEqual([]);
  });

  it('has the same placeholders in the text as in its key', () => {
    const placeholders = (text: string): string[] => (text.match(/\{\d+\}/g) ?? []).sort();
    for (const [key, text] of Object.entries(bundle)) {
      expect(placeholders(text), key).toEqual(placeholders(key));
      const numbers = [...new Set(placeholders(key))];
      expect(numbers, key).toEqual(numbers.map((_, i) => `{${i}}`));
    }
  });

  it('comes from package.nls.json wherever the manifest has text', () => {
    const loose: string[] = [];
    const visit = (value: unknown, key: string): void => {
      if (typeof value === 'string') {
        const isText =
          /^(title|label|displayName|name|contents|(markdown)?[dD]escription|altText)$/;
        if (isText.test(key) && !/^%[\w.-]+%$/.test(value)) loose.push(`${key}: ${value}`);
      } else if (typeof value === 'object' && value !== null) {
        for (const [inner, one] of Object.entries(value)) {
          visit(one, Array.isArray(value) ? key : inner);
        }
      }
    };
    visit(manifest.contributes, '');
    expect(loose.filter((text) => !text.endsWith(': Espalier'))).toEqual([]);
  });
});
