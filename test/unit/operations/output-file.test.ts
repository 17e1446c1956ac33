import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { expect, it } from 'vitest';
import { unattended } from '../../../extension/core/jobs/job';
import { documentIds, documentNames } from '../../../extension/core/document-names';
import { documentTypes } from '../../../extension/core/documents/document-types';
import { inEnglish } from '../../../extension/core/message';
import type { Message } from '../../../extension/core/message';
import { ModelCache } from '../../../extension/core/models/model-cache';
import { keepPlan } from '../../../extension/core/operations/apply-plan';
import type { AnyOperation } from '../../../extension/core/operations/operation';
import { operations } from '../../../extension/core/operations/operations';
import { runOperation } from '../../../extension/core/operations/run-operation';
import { planFor } from '../../../extension/core/plans/plan';
import { toHtml } from '../../../extension/core/report/to-html';
import { toMarkdown } from '../../../extension/core/report/to-markdown';
import { temporaryFolder } from '../temporary-folder';

const folder = temporaryFolder();
const models = new ModelCache({ capacity: 1 });
const context = {
  ...unattended,
  environment: {
    ...{ samples: '', version: '0', costsFolder: join(folder, 'costs'), bundles: '' },
    open: async (path: string) => models.open(path),
  },
};

/** Runs what an operation runs until it would begin to work. */
async function ask(id: string, out: string, more: object = {}): Promise<void> {
  const found = operations.find((one) => one.id === id);
  const operation = { ...found, run: async () => Promise.resolve() } as unknown as AnyOperation;
  await runOperation(operation, { model: '/m', out, ...more }, context);
}

const at = (name: string): string => join(folder, name);

/** Operations that write a file, by the ends of its name. */
const written: readonly (readonly [string, readonly string[]])[] = [
  ['profile', ['.layerprofile.json']],
  ['sensitivity', ['.sensitivity.json']],
  ['plan', ['.plan.json']],
  ['plan-compression', ['.plan.json']],
  ['score-experts', ['.plan.json']],
  ['score-text', ['.textscores.json']],
  ['score-data', ['.scores.json', '.npy', '.csv', '.jsonl']],
  ['convert-scores', ['.scores.json', '.npy', '.csv', '.jsonl']],
  ['select-data', ['.selection.json', '.npy']],
  ['data-diet', ['.datadiet.json']],
  ['evaluate', ['.evaluation.json']],
  ['study-groups', ['.json']],
  ['imatrix', ['.gguf']],
  ['report', ['.html', '.md']],
];

it('is declared by each operation whose `out` is a file', () => {
  const declared = operations.flatMap(({ id, fields }) =>
    'out' in fields && fields.out.writes !== undefined ? [id] : [],
  );
  expect(declared.sort()).toEqual(written.map(([id]) => id).sort());
});

it.each(written)(
  '%s writes files that end as they should, and replaces no text',
  async (id, ends) => {
    for (const end of ends) {
      const file = at(`${id}${end}`);
      await ask(id, file);
      writeFileSync(file, 'dear diary');
      await expect(ask(id, file)).rejects.toThrow(file);
      await expect(ask(id, file)).rejects.not.toThrow('diary');
      expect(readFileSync(file, 'utf8')).toBe('dear diary');
      rmSync(file);
      mkdirSync(file);
      await expect(ask(id, file)).rejects.toThrow(file);
      rmSync(file, { recursive: true });
    }
    for (const name of ['notes.txt', 'x.package', `.${id}`, ends[0] ?? '']) {
      await expect(ask(id, at(name))).rejects.toThrow(
        new RegExp(`^out: The name ${name.replaceAll('.', '\\.')} does not end with `),
      );
    }
  },
);

it('lists the allowed extensions', async () => {
  await expect(ask('plan', at('small.json'))).rejects.toThrow(
    'out: The name small.json does not end with .plan.json. Name a plan such as small.plan.json.',
  );
  await expect(ask('score-data', at('a.txt'), { format: 'deepcore' })).rejects.toThrow(
    'Name scores such as a.json.',
  );
});

it('is replaced if it is of the same type', async () => {
  const plan = at('own.plan.json');
  writeFileSync(plan, JSON.stringify(planFor({ path: '/m', fingerprint: 'f' }, {})));
  await ask('plan', plan);
  const profile = at('own.layerprofile.json');
  writeFileSync(profile, readFileSync(plan));
  await expect(ask('profile', profile)).rejects.toThrow(
    `${profile}: The file exists and is not a layer profile, so it is not replaced. Choose another name, or move that file.`,
  );
  const report = { title: 'T', facts: [], sections: [], origin: 'o' };
  for (const [name, write] of [
    ['own.html', toHtml],
    ['own.md', toMarkdown],
  ] as const) {
    writeFileSync(at(name), write(report));
    await ask('report', at(name));
  }
});

it('has a name and a parser for each type of document', () => {
  expect(Object.keys(documentTypes).sort()).toEqual([...documentIds].sort());
  expect(documentIds.map((id) => documentNames[id].suffix.split('.').at(-1))).toEqual(
    documentIds.map(() => 'json'),
  );
});

it('a plan next to a model does not replace another file of its name', async () => {
  const out = at('made');
  mkdirSync(out);
  writeFileSync(`${out}.plan.json`, 'dear diary');
  const warnings: string[] = [];
  const warn = (message: Message): number => warnings.push(inEnglish(message));
  await keepPlan(planFor({ path: '/m', fingerprint: 'f' }, {}), out, { warn });
  expect(warnings).toHaveLength(1);
  expect(warnings[0]).toContain(`${basename(out)}.plan.json: The file exists and is not a plan`);
  expect(readFileSync(`${out}.plan.json`, 'utf8')).toBe('dear diary');
});
