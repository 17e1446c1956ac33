import * as v from 'valibot';

/**
 * Long lists of numbers: as an array of schemas, but a hundred thousand numbers take a millisecond instead of a
 * hundred.
 * @param isItem whether a value may stand in the list
 */
export const numberColumn = <Item extends number | null>(
  isItem: (value: unknown) => value is Item,
): v.GenericSchema<Item[]> =>
  v.pipe(
    v.custom<Item[]>(Array.isArray, 'It must be a list of numbers'),
    v.rawCheck(({ dataset, addIssue }) => {
      const values: readonly unknown[] = dataset.typed ? dataset.value : [];
      const key = values.findIndex((value) => !isItem(value));
      if (key >= 0) {
        const [input, value] = [values, values[key]];
        addIssue({
          message: `${JSON.stringify(value)} is not a number that may stand here`,
          path: [{ type: 'array', origin: 'value', input: [...input], key, value }],
        });
      }
    }),
  );
