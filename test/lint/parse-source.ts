import { readFileSync } from 'node:fs';
import ts from 'typescript';

/** The syntax tree of a file, whose nodes know their parents. */
export function parseSource(file: string): ts.SourceFile {
  return ts.createSourceFile(file, readFileSync(file, 'utf8'), ts.ScriptTarget.ES2023, true);
}
