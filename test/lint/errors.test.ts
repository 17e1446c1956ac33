import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { root } from './catalogue';

interface CodedErrors {
  readonly listErrorCodes: () => string[];
  readonly collectCodedErrors: () => {
    readonly coded: readonly { readonly code: string; readonly messages: readonly string[] }[];
    readonly forwarded: readonly { readonly place: string; readonly code: string }[];
  };
  readonly hasWords: (pattern: string) => boolean;
}

const { listErrorCodes, collectCodedErrors, hasWords } = (await import(
  join(root, 'scripts/lib/coded-errors.mjs')
)) as CodedErrors;
const codes = listErrorCodes();
const { coded, forwarded } = collectCodedErrors();

it('codes are in kebab case, in order, and occur once', () => {
  expect(codes.length).toBeGreaterThan(500);
  expect(codes.filter((code) => !/^[a-z\d]+(?:-[a-z\d]+)+$/.test(code))).toEqual([]);
  expect(codes).toEqual([...new Set(codes)].sort());
});

it('every code is the code of an error', () => {
  const used = new Set(coded.map(({ code }) => code));
  expect(codes.filter((code) => !used.has(code))).toEqual([]);
});

it('errors have a code of their own, or the code that they are given', () => {
  expect(forwarded.filter(({ code }) => !/(?:^|\.)code\b/.test(code))).toEqual([]);
});

it('a message has one code', () => {
  const found = new Map<string, Set<string>>();
  for (const { code, messages } of coded) {
    for (const message of messages.filter(hasWords)) {
      found.set(message, (found.get(message) ?? new Set()).add(code));
    }
  }
  expect(found.size).toBeGreaterThan(500);
  expect([...found].filter(([, own]) => own.size > 1)).toEqual([]);
});

it('the reference lists every code', () => {
  const page = readFileSync(join(root, 'docs/reference/errors.md'), 'utf8');
  expect(codes.filter((code) => !page.includes(`\n- \`${code}\`: `))).toEqual([]);
});
