import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';
import bundle from '../../l10n/bundle.l10n.json';
import manifest from '../../package.json';
import strings from '../../package.nls.json';
import { findMessages, root, shownSources } from './catalogue';
import { parseSource } from './parse-source';

/** Words to avoid, with their replacements in the project's word list. */
const unsaid =
  /\b(of which|that which|(is|are) to be|comes? to|tells of|in the place of|mend(ed)?|remarks?|usual|whole numbers?|dense model|whole model|prune plan|carr(y|ied) out|go(es)? on|of (no|a) kind that|so that (none|no)|otherwise than|inside of|dialect|outer|vital|worth|forget|symbolic patch(es)?|sensitivity table|(is|are) not known|known are)\b|(?<!\bthere )\bis no\b(?! longer)/i;

/** Spelled as in VS Code's own interface. */
const british =
  /\b\w*(colour|behaviour|favour|neighbour|modell|labell|cancell(ed|ing)|\bgrey\b|\bcentre|licence|catalogue|analys(ed|ing)|(initial|normal|quant|optim|organ|recogn|summar|token|serial|general|minim|maxim)is(e|ed|es|ing|ation)\b)/i;

const cli = ['core', 'cli'].flatMap((folder) =>
  readdirSync(join(root, 'extension', folder), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts') && !file.endsWith('_pb.ts'))
    .map((file) => join(root, 'extension', folder, file)),
);

/** Properties whose texts help and docs show. */
const reported = new Set(['description', 'summary', 'off', 'title', 'missing', 'takes']);

/** Descriptions of operations and their fields in a file; what is filled in stands as `…`. */
function findDescriptions(file: string): string[] {
  const found: string[] = [];
  const collect = (node: ts.Node): void => {
    if (ts.isStringLiteralLike(node)) {
      found.push(node.text);
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
    if (ts.isPropertyAssignment(node) && reported.has(node.name.getText())) {
      collect(node.initializer);
    }
    ts.forEachChild(node, visit);
  };
  visit(parseSource(file));
  return found;
}

/** Properties and JSX attributes that the editor shows, and calls that show their argument. */
const shown = new Set(
  'label detail description tooltip placeholder placeHolder prompt title openLabel saveLabel aria-label'.split(
    ' ',
  ),
);
/** Names that are the same in every language: suffixes of files, models, scores, types. */
const names =
  /^((\.\w+(, )?)+|\{indices, scores\}|td_metrics\.jsonl|mlp|cnn|resnet|EL2N|GraNd|int[48])$/;
const shows = /^window\.(show(Information|Warning|Error)Message|setStatusBarMessage)$/;

/** Texts in a file of the host or a panel that a translation would miss. */
function unlocalisedIn(file: string): string[] {
  const found: string[] = [];
  const note = (node: ts.Node | undefined): void => {
    if (node === undefined) return;
    if (ts.isConditionalExpression(node)) {
      note(node.whenTrue);
      note(node.whenFalse);
      return;
    }
    const text =
      ts.isStringLiteralLike(node) || ts.isJsxText(node)
        ? node.text
        : ts.isTemplateExpression(node)
          ? [node.head.text, ...node.templateSpans.map(({ literal }) => literal.text)].join(' ')
          : '';
    // Names of icons and single letters, such as those of axes, are the same in every language.
    if (/\p{L}{2}/u.test(text.replace(/\$\([\w~-]+\)/g, '')) && !names.test(text)) {
      found.push(`${file.slice(root.length + 1)}: ${text.trim()}`);
    }
  };
  const visit = (node: ts.Node): void => {
    if (ts.isJsxText(node)) {
      note(node);
    } else if (ts.isJsxAttribute(node) && shown.has(node.name.getText())) {
      const { initializer } = node;
      note(
        initializer !== undefined && ts.isJsxExpression(initializer)
          ? initializer.expression
          : initializer,
      );
    } else if (ts.isPropertyAssignment(node) && shown.has(node.name.getText())) {
      note(node.initializer);
    } else if (ts.isBinaryExpression(node) && ts.isPropertyAccessExpression(node.left)) {
      if (shown.has(node.left.name.text)) note(node.right);
    } else if (ts.isCallExpression(node) && shows.test(node.expression.getText())) {
      node.arguments.forEach(note);
    }
    ts.forEachChild(node, visit);
  };
  visit(parseSource(file));
  return found;
}

const withUnsaid = (texts: readonly string[]): string[] =>
  texts.filter((text) => unsaid.test(text) || british.test(text));

describe('visible text', () => {
  it('avoids unusual words: the manifest and the catalogue', () => {
    expect(withUnsaid([...Object.values(strings), ...Object.values(bundle)])).toEqual([]);
  });

  it('avoids unusual words: the command line', () => {
    const texts = cli.flatMap(findDescriptions);
    expect(texts.length).toBeGreaterThan(200);
    expect(withUnsaid([...texts, ...cli.flatMap((file) => findMessages(file).patterns)])).toEqual(
      [],
    );
  });

  it('has the same placeholders in the text as in its key', () => {
    const placeholders = (text: string): string[] => (text.match(/\{\d+\}/g) ?? []).sort();
    for (const [key, text] of Object.entries(bundle)) {
      expect(placeholders(text), key).toEqual(placeholders(key));
      const numbers = [...new Set(placeholders(key))].sort();
      expect(numbers, key).toEqual(numbers.map((_, i) => `{${i}}`).sort());
    }
  });

  it('all texts of host and panels come from the catalogue', () => {
    const files = shownSources.filter((file) => !/extension\/core\/|webview\/gallery\//.test(file));
    expect(files.flatMap(unlocalisedIn)).toEqual([]);
  });

  it('all texts of the manifest come from package.nls.json', () => {
    const loose: string[] = [];
    const visit = (value: unknown, key: string): void => {
      if (typeof value === 'string') {
        const isText =
          /^(title|label|displayName|name|contents|(markdown)?[dD]escription|altText)$/;
        if (isText.test(key) && !/^(%[\w.-]+%|espalier(_\w+)?)$/.test(value))
          loose.push(`${key}: ${value}`);
      } else if (typeof value === 'object' && value !== null) {
        for (const [inner, one] of Object.entries(value)) {
          // Language models read it, not people.
          if (inner === 'inputSchema') continue;
          visit(one, Array.isArray(value) ? key : inner);
        }
      }
    };
    visit(manifest.contributes, '');
    expect(loose.filter((text) => !text.endsWith(': Espalier'))).toEqual([]);
  });
});
