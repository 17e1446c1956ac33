/** Sort keys of the layers. */
export const sortKeys = [
  'tensor',
  'role',
  'block',
  'setting',
  'loss',
  'error',
  'outputError',
  'bytes',
  'after',
  'decodeMsPerToken',
] as const;
export type SortKey = (typeof sortKeys)[number];
