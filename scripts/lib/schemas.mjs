import { toJsonSchema } from '@valibot/to-json-schema';

/** @typedef {import('./core-modules.mjs').Declarations} Declarations */

/**
 * The schema of *.plan.json; further properties for editors are in the metadata of its parts.
 * @param {Declarations} declarations
 */
export function planSchema({ planSchema: schema, compressionChoiceSchema }) {
  const id = schema.entries.remove.item;
  const { $defs: definitions, ...rest } = toJsonSchema(schema, {
    errorMode: 'ignore',
    // Draft 7's name for them.
    overrideRef: ({ referenceId }) => `#/definitions/${referenceId}`,
    definitions: { id, choice: compressionChoiceSchema },
    overrideAction: ({ valibotAction, jsonSchema }) =>
      valibotAction.type === 'metadata'
        ? { ...jsonSchema, .../** @type {any} */ (valibotAction).metadata }
        : undefined,
  });
  return { ...rest, definitions };
}

/**
 * The schema of *.request.json: the fields of the operation that the file names. None is required, as
 * flags may give the rest.
 * @param {Declarations} declarations
 */
export function requestSchema({ operations, fieldSchemas }) {
  return {
    type: 'object',
    description: 'Options of an Espalier command, for --config.',
    required: ['operation'],
    properties: {
      $schema: { type: 'string' },
      operation: {
        enum: operations.map(({ id }) => id),
        enumDescriptions: operations.map(({ summary }) => summary),
        description: 'The command that the options are for.',
      },
    },
    allOf: operations.map(({ id, fields }) => ({
      if: { required: ['operation'], properties: { operation: { const: id } } },
      then: {
        properties: {
          $schema: true,
          operation: true,
          ...fieldSchemas(fields),
        },
        additionalProperties: false,
      },
    })),
  };
}
