import * as v from 'valibot';
import { enumerateBySize } from '../symbolic/search/enumerate-by-size';
import type { SizeTable } from '../symbolic/search/enumerate-by-size';
import { integer } from './fields';
import { defineOperation } from './operation';
import { libraryField, readLibraryOrDefault } from './symbolic-evaluate';

export const symbolicEnumerate = defineOperation({
  id: 'symbolic enumerate',
  title: 'Enumerate Programs',
  verb: 'Enumerating',
  summary: 'Count all programs up to a size, valid ones, and distinct graphs.',
  group: 'experimental',
  fields: {
    maxSize: integer({
      description: 'Maximum number of symbols of a program',
      min: 1,
      required: true,
    }),
    library: libraryField,
  },
  rules: [],
  result: v.looseObject({
    programs: v.array(v.number()),
    kept: v.array(v.number()),
    distinctGraphs: v.array(v.number()),
  }),
  trust: 'inspect',
  run: async ({ maxSize, library }, context): Promise<SizeTable> =>
    enumerateBySize(await readLibraryOrDefault(library), maxSize, context),
});
