import { describe, expect, it } from 'vitest';
import { unattended } from '../../../extension/core/jobs/job';
import { compress } from '../../../extension/core/symbolic/compression/compress';
import { initialLibrary } from '../../../extension/core/symbolic/language/library';
import { parseProgram } from '../../../extension/core/symbolic/language/parse-program';
import { printTerm } from '../../../extension/core/symbolic/language/term';

describe('compression', () => {
  it('finds the abstraction of the released archive, and no other', async () => {
    const library = initialLibrary();
    const programs = [
      '(push (add (connect identity)))',
      '(push (add (connect (add (next_port (connect identity))))))',
    ].map((text) => parseProgram(text, library));
    const result = await compress(library, programs, {}, unattended);
    expect(
      result.inventions.map(({ name, term, utility }) => [name, printTerm(term), utility]),
    ).toEqual([['fn_0', '(lam (push (add (connect $0))))', 101]]);
    expect(result.programs.map(printTerm)).toEqual([
      '(fn_0 identity)',
      '(fn_0 (add (next_port (connect identity))))',
    ]);
  });
});
