/**
 * What is compared: how each model is compressed, and of which results a healed one is made.
 *
 * @typedef {object} Row
 * @property {string} key name of its folder
 * @property {string} label
 * @property {readonly string[]} [compress] options of `espalier compress`; the dense model has none
 * @property {string} [heals] key of the row that is healed
 * @property {readonly string[]} [heal] options of `espalier heal`
 */

/** @param {readonly string[]} healing options that are not the usual ones @returns {readonly Row[]} */
export function rowsFor(healing) {
  /** @type {readonly (Row & {healed?: boolean})[]} */
  const rows = [
    { key: 'dense', label: 'dense, float16' },
    { key: 'int8', label: 'int8', compress: ['--method', 'int8'], healed: true },
    {
      key: 'int4',
      label: 'int4, rounded to nearest',
      compress: ['--method', 'int4:32:rtn'],
      healed: true,
    },
    { key: 'int4-gptq', label: 'int4, GPTQ', compress: ['--method', 'int4'], healed: true },
    {
      key: 'lowrank-75',
      label: 'low rank 75 %',
      compress: ['--method', 'lowrank:75%'],
      healed: true,
    },
    {
      key: 'lowrank-50',
      label: 'low rank 50 %',
      compress: ['--method', 'lowrank:50%'],
      healed: true,
    },
    {
      key: 'mpo-75',
      label: 'MPO 75 %, contracted',
      compress: ['--method', 'mpo:75%', '--skip', 'down', '--mpo-run', 'contracted'],
      healed: true,
    },
    {
      key: 'mpo-75-chained',
      label: 'MPO 75 %, chained',
      compress: ['--method', 'mpo:75%', '--skip', 'down', '--mpo-run', 'chained'],
    },
    {
      key: 'mpo-50-int4',
      label: 'MPO 50 % + int4 (the recipe)',
      compress: [
        ...['--method', 'mpo:50%', '--skip', 'down', '--then', 'int4'],
        ...['--mpo-run', 'contracted'],
      ],
      healed: true,
    },
  ];
  return rows.flatMap(({ healed, ...row }) => [
    row,
    ...(healed
      ? [{ key: `${row.key}-healed`, label: '— healed', heals: row.key, heal: healing }]
      : []),
  ]);
}
