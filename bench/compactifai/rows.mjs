/**
 * Rows of the comparison: the compression of each model, and the result that a repair starts from.
 *
 * @typedef {object} Row
 * @property {string} key name of its folder
 * @property {string} label
 * @property {readonly string[]} [compress] options of `espalier compress`; the dense model has none
 * @property {string} [sameAs] key of the row that has the same numbers and runs them otherwise, so that it is not judged again
 * @property {string} [repairs] key of the row that is repaired
 * @property {readonly string[]} [repair] options of `espalier repair`
 * @property {number} turn rows are done in the order of their turns
 */

/** @type {readonly Omit<Row, 'turn'>[]} */
const compressed = [
  { key: 'int8', label: 'int8, inputs too', compress: ['--method', 'int8:0'] },
  {
    key: 'int8-mixed',
    label: 'int8, inputs too but of down',
    compress: ['--method', 'int8:0', '--skip', 'down', '--then', 'int8'],
  },
  { key: 'int8-blocks', label: 'int8, blocks', compress: ['--method', 'int8'] },
  { key: 'int4', label: 'int4, rounded to nearest', compress: ['--method', 'int4:32:rtn'] },
  {
    key: 'int4-zeros',
    label: 'int4, rounded, with zeros',
    compress: ['--method', 'int4:32:rtn-asymmetric'],
  },
  { key: 'int4-gptq', label: 'int4, GPTQ', compress: ['--method', 'int4'] },
  {
    key: 'int4-all',
    label: 'int4, GPTQ, embedding and head too',
    compress: ['--method', 'int4', '--embeddings', '--head'],
  },
  { key: 'lowrank-75', label: 'low rank 75 %', compress: ['--method', 'lowrank:75%'] },
  { key: 'lowrank-50', label: 'low rank 50 %', compress: ['--method', 'lowrank:50%'] },
  {
    key: 'mpo-75',
    label: 'MPO 75 %, contracted',
    compress: ['--method', 'mpo:75%', '--skip', 'down', '--mpo-run', 'contracted'],
  },
  {
    key: 'mpo-75-chained',
    label: 'MPO 75 %, chained',
    compress: ['--method', 'mpo:75%', '--skip', 'down', '--mpo-run', 'chained'],
    sameAs: 'mpo-75',
  },
  {
    key: 'mpo-50-int4',
    label: 'MPO 50 % + int4 (the recipe)',
    compress: [
      ...['--method', 'mpo:50%', '--skip', 'down', '--then', 'int4'],
      ...['--mpo-run', 'contracted'],
    ],
  },
];

/**
 * The dense model and all compressed ones, each followed by its repaired model.
 * @param {readonly string[]} repaired keys of the rows that are repaired, after all others, in this order
 * @param {readonly string[]} repair options of repair that differ from the defaults
 * @returns {readonly Row[]}
 */
export function rowsFor(repaired, repair) {
  return [
    { key: 'dense', label: 'dense, float16', turn: 0 },
    ...compressed.flatMap((row) => {
      const { key } = row;
      const turn = repaired.indexOf(key) + 1;
      const after = { key: `${key}-repaired`, label: '— repaired', repairs: key, repair, turn };
      return [{ ...row, turn: 0 }, ...(turn > 0 ? [after] : [])];
    }),
  ];
}
