import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  libraryDocument,
  parseLibrary,
  readLibrary,
} from '../../../extension/core/symbolic/language/library-file';
import { printType } from '../../../extension/core/symbolic/language/primitives';
import { UserError } from '../../../extension/core/user-error';
import { temporaryFolder } from '../temporary-folder';
import { archivedLibrary } from './vectors';

interface EntryText {
  readonly name: string;
  readonly term?: string;
  readonly type?: string;
  readonly logWeight?: number;
}

const makeText = (...entries: readonly EntryText[]): string =>
  JSON.stringify({ format: 'espalier.symboliclibrary', version: 1, entries });

describe('library files', () => {
  it('contain a complete library', async () => {
    const library = archivedLibrary();
    const file = join(temporaryFolder(), 'library.json');
    await writeFile(file, JSON.stringify(libraryDocument(library)));
    expect(await readLibrary(file)).toEqual(library);
  });

  it('may leave out types and weights, and use an entry before its definition', () => {
    const { entries } = parseLibrary(
      makeText(
        { name: 'b', term: '(a identity)' },
        { name: 'a', term: '(lam (push $0))' },
        { name: 'c', term: '(lam ($0 identity))' },
        { name: 'd', term: '(lam ($0 identity))', type: '(T -> T -> T) -> T->T' },
        { name: 'identity', logWeight: -1 },
      ),
      'library.json',
    );
    expect(entries.map(({ type }) => printType(type))).toEqual([
      'T',
      'T -> T',
      '(T -> T) -> T',
      '(T -> T -> T) -> T -> T',
      'T',
    ]);
    expect(entries.map(({ logWeight }) => logWeight)).toEqual([
      ...Array<number>(4).fill(-Math.log(5)),
      -1,
    ]);
  });

  it.each<[EntryText[], string, string]>([
    [[], 'entries', 'A library has an entry'],
    [[{ name: 'fn_0' }], 'entries.0', 'has a term'],
    [[{ name: 'push', term: 'identity' }], 'entries.0', 'a primitive has none'],
    [[{ name: 'push' }, { name: 'push' }], 'entries', 'Two entries have one name'],
    [[{ name: 'a b', term: 'identity' }], 'entries.0.name', 'no spaces'],
    [[{ name: 'lam', term: 'identity' }], 'entries.0.name', '"lam" is no name'],
    [[{ name: 'push', logWeight: 0.1 }], 'entries.0.logWeight', 'A log-weight is 0 at most'],
    [[{ name: 'f', term: '(lam (g $0))' }], 'entries.0.term', 'There is no symbol "g"'],
    [[{ name: 'f', term: '(identity push)' }], 'entries.0.term', 'takes no argument'],
    [
      [
        { name: 'f', term: '(lam (g $0))' },
        { name: 'g', term: '(lam (f $0))' },
      ],
      'entries.1.term',
      'f uses itself',
    ],
    [
      [{ name: 'f', term: 'push', type: 'T' }],
      'entries.0.type',
      "The term's type is T -> T, not T",
    ],
    [[{ name: 'f', term: 'push', type: 'S -> S' }], 'entries.0.type', '"S -> S" is no type'],
    [[{ name: 'push', type: 'T -> T ->' }], 'entries.0.type', 'is no type'],
  ])('%j is refused', (entries, field, message) => {
    let error: unknown;
    try {
      parseLibrary(makeText(...entries), 'library.json');
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(UserError);
    expect((error as UserError).message).toContain(`library.json: ${field}: `);
    expect((error as UserError).message).toContain(message);
  });

  it('rejects another file', () => {
    expect(() => parseLibrary('{"format": "espalier.scores"}', 'other.json')).toThrow(
      /other.json: format: /,
    );
  });
});
