/** What the layers can be sorted by. */
export const sortKeys = [
  'tensor',
  'role',
  'block',
  'level',
  'loss',
  'error',
  'outputError',
  'bytes',
  'after',
  'decodeMsPerToken',
] as const;
export type SortKey = (typeof sortKeys)[number];
