import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as v from 'valibot';
import { describe, expect, it } from 'vitest';
import packageJson from '../../../package.json';
import {
  defaultDocumentPath,
  documentIds,
  documentNames,
  findDocumentType,
} from '../../../extension/core/document-names';
import { documentTypes, readDocument } from '../../../extension/core/documents/document-types';
import type { AnyOperation } from '../../../extension/core/operations/operation';
import { operations } from '../../../extension/core/operations/operations';
import { UserError } from '../../../extension/core/user-error';
import { documentContributions } from '../../../extension/services/documents/document-views';
import { temporaryFolder } from '../temporary-folder';

const folder = temporaryFolder();
const declared = operations as unknown as readonly AnyOperation[];

/** Error of a document with one field. */
function refusal(id: keyof typeof documentTypes, document: object): UserError | undefined {
  try {
    documentTypes[id].parse(JSON.stringify(document), 'file');
    return undefined;
  } catch (error) {
    if (error instanceof UserError) {
      return error;
    }
    throw error;
  }
}

describe('a type of documents', () => {
  it.each(documentIds)('%s is recognized by its suffix and its format', (id) => {
    const { suffix, format } = documentNames[id];
    expect(findDocumentType(`/a/model${suffix}`)).toBe(id);
    expect(refusal(id, { format })?.subject.field).not.toBe('format');
    // Other tools' selections have indices alone.
    if (id !== 'selection') {
      expect(refusal(id, { format: 'espalier.other', version: 1 })?.subject.field).toBe('format');
    }
  });

  it.each(documentIds)(
    '%s is written by an operation, and has a description for each field',
    (id) => {
      const { schema } = documentTypes[id];
      const writers = declared.filter(
        ({ fields, writesNextTo = [] }) =>
          writesNextTo.includes(id) || Object.values(fields).some(({ writes }) => writes === id),
      );
      expect(writers.map((one) => one.id)).not.toEqual([]);
      for (const [key, field] of Object.entries<v.GenericSchema>(schema.entries)) {
        const said = [field, 'wrapped' in field ? field.wrapped : field].map(
          (one) =>
            v.getDescription(one as v.GenericSchema) ??
            v.getMetadata(one as v.GenericSchema)['description'],
        );
        expect(key === '$schema' || said.some(Boolean), key).toBe(true);
      }
    },
  );

  it('is declared by every field whose description names it', () => {
    for (const { id: operation, fields } of declared) {
      for (const [key, field] of Object.entries(fields)) {
        const named = documentIds.filter((id) =>
          field.description.includes(`*${documentNames[id].suffix}`),
        );
        expect([...field.reads, field.writes], `${operation} ${key}`).toEqual(
          expect.arrayContaining(named),
        );
      }
    }
  });

  it('is read by the operations that accept it: a sensitivity profile by all that plan with it', () => {
    const readers = declared.filter(({ fields }) =>
      Object.values(fields).some(({ reads }) => reads.includes('sensitivity')),
    );
    expect(readers.map(({ id }) => id)).toEqual([
      'compress',
      'plan-compression',
      'pareto',
      'report',
    ]);
  });

  it('has a default path next to its source', () => {
    expect(defaultDocumentPath('layerProfile', '/models/tiny')).toBe(
      '/models/tiny.layerprofile.json',
    );
    expect(defaultDocumentPath('plan', '/models/v1.5/tiny.Q4_0.gguf')).toBe(
      '/models/v1.5/tiny.Q4_0.plan.json',
    );
    expect(defaultDocumentPath('sensitivity', '/m/model.ONNX')).toBe('/m/model.sensitivity.json');
    expect(defaultDocumentPath('scores', '/data/set.csv')).toBe('/data/set.scores.json');
    expect(defaultDocumentPath('scores', '/data/.csv')).toBe('/data/.csv.scores.json');
  });

  it('is read, and refused by its name', async () => {
    const file = join(folder, 'one.plan.json');
    const plan = { format: 'espalier.plan', version: 1, model: { path: 'm' }, remove: ['block.1'] };
    writeFileSync(file, JSON.stringify(plan));
    expect((await readDocument('plan', file)).remove).toEqual(['block.1']);
    await expect(readDocument('layerProfile', file)).rejects.toMatchObject({
      subject: { file, field: 'format' },
    });
    await expect(readDocument('plan', join(folder, 'no.plan.json'))).rejects.toThrow(
      /no\.plan\.json: There is no such file\. Check the path\./,
    );
  });
});

describe('package.json', () => {
  const { contributes, activationEvents } = packageJson;
  const expected = documentContributions();

  it('has the editors and schemas of documents', () => {
    const editors = contributes.customEditors
      .filter(({ viewType }) => viewType !== 'espalier.modelExplorer')
      .map(({ viewType, selector, priority }) => ({ viewType, selector, priority }));
    expect(editors).toEqual(expected.customEditors);
    expect(contributes.jsonValidation).toEqual(expected.jsonValidation);
  });

  it('is activated by every document that is watched', () => {
    expect(activationEvents).toEqual(expect.arrayContaining([...expected.activationEvents]));
    const documentEvents = activationEvents.filter((event) => event.endsWith('.json'));
    expect(documentEvents.sort()).toEqual([...expected.activationEvents].sort());
  });

  it('recognizes documents in menus by their names', () => {
    const conditions = Object.values(contributes.menus)
      .flat()
      .flatMap((item) => ('when' in item ? [item.when] : []))
      .flatMap((when) => when.match(/resourceFilename =~ \/[^ ]*\.json\$\//g) ?? [])
      .filter((condition) => !condition.includes('safetensors'));
    expect(conditions.length).toBeGreaterThan(10);
    const known = Object.values(expected.conditions);
    expect(conditions.filter((condition) => !known.includes(condition))).toEqual([]);
  });
});
