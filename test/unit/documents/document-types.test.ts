import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as v from 'valibot';
import { describe, expect, it } from 'vitest';
import packageJson from '../../../package.json';
import {
  defaultDocumentPath,
  documentIds,
  documentNames,
  documentOf,
} from '../../../extension/core/document-names';
import { documentTypes, readDocument } from '../../../extension/core/documents/document-types';
import { operations } from '../../../extension/core/operations/operations';
import { UserError } from '../../../extension/core/user-error';
import { documentContributions } from '../../../extension/services/documents/document-views';
import { temporaryFolder } from '../temporary-folder';

const folder = temporaryFolder();

/** What is wrong with a document of one field. */
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
  it.each(documentIds)('%s is told by its name and its mark', (id) => {
    const { suffix, format } = documentNames[id];
    expect(documentOf(`/a/model${suffix}`)).toBe(id);
    expect(refusal(id, { format })?.subject.field).not.toBe('format');
    // Other tools' selections have indices alone.
    if (id !== 'selection') {
      expect(refusal(id, { format: 'espalier.other', version: 1 })?.subject.field).toBe('format');
    }
  });

  it.each(documentIds)('%s says who writes and reads it, and what its fields are', (id) => {
    const { writtenBy, readBy, schema } = documentTypes[id];
    const known = operations.map((one): string => one.id);
    expect(known).toEqual(expect.arrayContaining([...writtenBy, ...readBy]));
    expect(writtenBy.length).toBeGreaterThan(0);
    for (const [key, field] of Object.entries<v.GenericSchema>(schema.entries)) {
      const said = [field, 'wrapped' in field ? field.wrapped : field].map(
        (one) =>
          v.getDescription(one as v.GenericSchema) ??
          v.getMetadata(one as v.GenericSchema)['description'],
      );
      expect(key === '$schema' || said.some(Boolean), key).toBe(true);
    }
  });

  it('has a place beside what it is of', () => {
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
    const ofDocuments = activationEvents.filter((event) => event.endsWith('.json'));
    expect(ofDocuments.sort()).toEqual([...expected.activationEvents].sort());
  });

  it('tells documents in menus by their names', () => {
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
