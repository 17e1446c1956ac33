import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import bundle from '../../../l10n/bundle.l10n.json';
import {
  counted,
  fill,
  inEnglish,
  joined,
  render,
  say,
  verbatim,
} from '../../../extension/core/message';
import type { Translate } from '../../../extension/core/message';
import { UserError } from '../../../extension/core/user-error';
import type { QuestionRequests } from '../../../extension/core/operations/questions/questions';
import { WorkerClient } from '../../../extension/services/worker/worker-client';

/** As a translator's file would have it, but that each text says that it is translated. */
const translated = new Map(Object.keys(bundle).map((code) => [code, `⟦${code}⟧`]));
const translate: Translate = (code, ...values) => fill(translated.get(code) ?? code, ...values);

describe('a message of the core', () => {
  it('is translated with its parameters, and with messages among them', () => {
    const problem = say`The text has ${counted(7, 'token')}, but ${counted(1, 'sequence')} of ${8} need ${8}.`;
    expect(inEnglish(problem)).toBe('The text has 7 tokens, but 1 sequence of 8 need 8.');
    expect(render(problem, translate)).toBe(
      '⟦The text has ⟦7 tokens⟧, but ⟦1 sequence⟧ of 8 need 8.⟧',
    );
    expect(render(joined([verbatim('{0}'), undefined, say`Correct the field.`]), translate)).toBe(
      '⟦{0} ⟦Correct the field.⟧⟧',
    );
  });
});

describe('an error of a child process', () => {
  const folder = mkdtempSync(join(tmpdir(), 'espalier-pseudo-'));
  const inspector = new WorkerClient<QuestionRequests>({
    modulePath: join(import.meta.dirname, '../../../dist/inspector.js'),
    graceMilliseconds: 300,
    onOutput: () => undefined,
    assertMayRun: () => undefined,
  });

  afterAll(() => {
    inspector.dispose();
    rmSync(folder, { recursive: true });
  });

  it('arrives translated, its file, field and parameters in place', async () => {
    const file = join(folder, 'config.json');
    writeFileSync(file, '{"model_type": "nonesuch"}');
    writeFileSync(join(folder, 'model.safetensors'), '');
    const error: unknown = await inspector
      .request('open', { model: folder })
      .catch((e: unknown) => e);
    expect(error).toBeInstanceOf(UserError);
    const { message, subject, whole } = error as UserError;
    expect(subject.file?.startsWith(folder)).toBe(true);
    expect(message).toBe(inEnglish(whole));
    const text = render(whole, translate);
    expect(text).toContain(`${subject.file ?? ''}: `);
    expect(text).toContain('⟦');
    expect(text.replaceAll(/[⟦⟧]/g, '')).toBe(message);
  });
});
