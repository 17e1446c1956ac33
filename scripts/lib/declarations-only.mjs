import { readFile } from 'node:fs/promises';
import ts from 'typescript';

/** Members that only the process that runs an operation calls. */
const runMembers = new Set(['run', 'work', 'requires', 'toJson']);

/**
 * A bundle of what operations declare: the extension host names and validates them, and leaves their runs, with all of
 * the core that these import, to the worker. It also must not load ONNX Runtime, which a second copy aborts.
 * @type {import('esbuild').Plugin}
 */
export const declarationsOnly = {
  name: 'declarations-only',
  setup: ({ onLoad }) => {
    onLoad(
      { filter: /[\\/]core[\\/]operations[\\/](questions[\\/])?[\w-]+\.ts$/ },
      async ({ path }) => ({
        contents: withoutRuns(path, await readFile(path, 'utf8')),
        loader: 'ts',
      }),
    );
  },
};

/**
 * The source of an operation without what runs it; what that imports is left to tree shaking.
 * @param {string} path
 * @param {string} source
 */
function withoutRuns(path, source) {
  if (!/define(Operation|Question)\(/.test(source)) return source;
  /** @type {[start: number, end: number][]} */
  const cuts = [];
  ts.forEachChild(
    ts.createSourceFile(path, source, ts.ScriptTarget.Latest, true),
    function visit(node) {
      if (
        ts.isCallExpression(node) &&
        /^define(Operation|Question)$/.test(node.expression.getText())
      ) {
        const [declaration] = node.arguments;
        if (declaration === undefined || !ts.isObjectLiteralExpression(declaration)) {
          throw new Error(`${path}: ${node.expression.getText()} takes an object literal`);
        }
        for (const property of declaration.properties) {
          // Include the comma that follows it.
          const end = source.startsWith(',', property.end) ? property.end + 1 : property.end;
          if (runMembers.has(property.name?.getText() ?? '')) cuts.push([property.pos, end]);
        }
      }
      ts.forEachChild(node, visit);
    },
  );
  return cuts.reduceRight((text, [start, end]) => text.slice(0, start) + text.slice(end), source);
}
