import { isPrimitive } from '../../../extension/core/symbolic/language/primitives';
import { initialLibrary, withInvention } from '../../../extension/core/symbolic/language/library';
import type { Library } from '../../../extension/core/symbolic/language/library';
import { parseTerm } from '../../../extension/core/symbolic/language/parse-term';

/** Inventions of the released archive. */
const archivedTerms: readonly (readonly [name: string, term: string])[] = [
  ['fn_0', '(lam (push (add (connect $0))))'],
  ['fn_1', '(lam (fn_0 (next_port (fn_0 $0))))'],
  ['fn_2', '(lam (next_port ($0 identity)))'],
  ['fn_3', '(add (fn_2 connect))'],
  ['fn_4', '(lam (fn_1 (next_port $0)))'],
  ['fn_5', '(fn_1 fn_3)'],
  ['fn_11', '(lam (add (connect $0)))'],
];

/** The first `count` of the archived inventions and the primitives. */
export function archivedLibrary(count = archivedTerms.length): Library {
  return archivedTerms.slice(0, count).reduce(
    (library, [name, text]) =>
      withInvention(
        library,
        name,
        parseTerm(
          text,
          (known) => isPrimitive(known) || library.entries.some((entry) => entry.name === known),
        ),
      ),
    initialLibrary(),
  );
}

export interface Vector {
  readonly program: string;
  readonly size: number;
  /** After full reduction. */
  readonly mass: number;
  /** As the command line prints it. */
  readonly json: string;
}

/** Programs of the released archive and what they build there. */
export const archivedVectors: readonly Vector[] = [
  {
    program: '(push (add (connect identity)))',
    size: 4,
    mass: 4,
    json: '{"edges":[[[1,0],[2,0]],[[0,0],[2,1]]],"next_id":3,"size":2,"max_conn":10}',
  },
  {
    program: '(push (add (connect fn_3)))',
    size: 4,
    mass: 7,
    json: '{"edges":[[[3,1],[4,0]],[[1,0],[2,0]],[[0,1],[4,3]],[[0,0],[2,1]]],"next_id":5,"size":3,"max_conn":10}',
  },
  {
    program: '(fn_1 (next_port (pop (connect identity))))',
    size: 5,
    mass: 11,
    json: '{"edges":[[[3,2],[5,0]],[[3,1],[4,1]],[[1,1],[4,3]],[[1,0],[2,0]],[[0,2],[5,3]],[[0,0],[2,1]]],"next_id":6,"size":3,"max_conn":10}',
  },
  {
    program: '(fn_0 (next_port (fn_11 (push fn_3))))',
    size: 5,
    mass: 11,
    json: '{"edges":[[[5,2],[6,3]],[[3,2],[6,5]],[[3,1],[4,0]],[[1,0],[2,0]],[[0,1],[4,3]],[[0,0],[2,1]]],"next_id":7,"size":4,"max_conn":10}',
  },
  {
    program: '(fn_1 (pop (add (connect fn_3))))',
    size: 5,
    mass: 14,
    json: '{"edges":[[[7,2],[8,0]],[[5,1],[6,0]],[[3,1],[4,1]],[[1,1],[4,3]],[[1,0],[2,0]],[[0,2],[8,7]],[[0,1],[6,5]],[[0,0],[2,1]]],"next_id":9,"size":5,"max_conn":10}',
  },
  {
    program: '(fn_1 (add (func fn_3 (pop (connect fn_3)))))',
    size: 7,
    mass: 19,
    json: '{"edges":[[[8,2],[9,0]],[[5,2],[6,1]],[[5,1],[7,0]],[[3,1],[4,1]],[[1,2],[6,5]],[[1,1],[4,3]],[[1,0],[2,0]],[[0,2],[9,8]],[[0,1],[7,5]],[[0,0],[2,1]]],"next_id":10,"size":5,"max_conn":10}',
  },
  {
    program: '(fn_4 (add (connect (move (next_port fn_5)))))',
    size: 6,
    mass: 23,
    json: '{"edges":[[[11,5],[12,7]],[[9,4],[10,7]],[[7,5],[12,11]],[[7,4],[10,9]],[[7,3],[8,1]],[[5,2],[6,1]],[[3,1],[4,1]],[[1,3],[8,7]],[[1,2],[6,5]],[[1,1],[4,3]],[[1,0],[2,0]],[[0,0],[2,1]]],"next_id":13,"size":7,"max_conn":10}',
  },
];

const secondGraph = archivedVectors[1]?.json ?? '';

/** Programs that need no invention. */
export const primitiveVectors: readonly Pick<Vector, 'program' | 'json'>[] = [
  {
    program: '(prev_port (push (add (connect identity))))',
    json: '{"edges":[[[1,9],[2,0]],[[0,9],[2,1]]],"next_id":3,"size":2,"max_conn":10}',
  },
  {
    program:
      '(push (add (connect (if_positions_equal (move identity) identity identity (next_port identity) (add (connect identity))))))',
    json: secondGraph,
  },
  {
    program:
      '(push (add (connect (func (next_port (add identity)) (next_port (add (connect identity)))))))',
    json: secondGraph,
  },
];
