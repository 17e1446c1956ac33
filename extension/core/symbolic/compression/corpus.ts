import type { Term } from '../language/term';
import { printType, programType } from '../language/primitives';
import type { Type } from '../language/primitives';

/** Cost of a symbol or a variable, and of an application, in compression (Bowers et al. 2023, stitch). */
export const symbolCost = 100;
/** Cost of an application node of a program. */
export const applicationCost = 1;

/** A subterm of the corpus; equal subterms share a node. Applications have one argument. */
export type CorpusNode = {
  readonly term: Term;
  readonly type: Type;
  /** Printed type. */
  readonly typeName: string;
  readonly cost: number;
} & (
  | { readonly kind: 'symbol'; readonly name: string }
  | { readonly kind: 'application'; readonly head: number; readonly argument: number }
);

/** Programs without lambdas as a graph of their distinct subterms, searched by compression. */
export class Corpus {
  /** Subterms, before the terms that contain them. */
  public readonly nodes: CorpusNode[] = [];
  /** Root node of each program. */
  public readonly roots: readonly number[];
  /** Number of occurrences of a node in all programs. */
  public readonly uses: Float64Array;
  /** Programs that contain a node, as a bit set in words of 32 bits: [node, word]. */
  private readonly owners: Uint32Array;
  private readonly words: number;
  private readonly ids = new Map<string, number>();

  /** @param typeOf returns the type of a symbol */
  public constructor(
    public readonly programs: readonly Term[],
    private readonly typeOf: (name: string) => Type,
  ) {
    this.roots = programs.map((program) => this.intern(program));
    this.uses = new Float64Array(this.nodes.length);
    this.words = Math.ceil(programs.length / 32);
    this.owners = new Uint32Array(this.nodes.length * this.words);
    this.roots.forEach((root, program) => {
      this.uses[root] = (this.uses[root] ?? 0) + 1;
      this.own(root, program >> 5, 1 << (program & 31));
    });
    for (let id = this.nodes.length - 1; id >= 0; id--) {
      this.passDown(id);
    }
  }

  public node(id: number): CorpusNode {
    const node = this.nodes[id];
    if (node === undefined) {
      throw new RangeError(`The corpus has no node ${id}.`);
    }
    return node;
  }

  /** True if the nodes occur in at least two programs. */
  public isShared(nodes: Iterable<number>): boolean {
    const seen = new Uint32Array(this.words);
    for (const node of nodes) {
      for (let word = 0; word < this.words; word++) {
        seen[word] = (seen[word] ?? 0) | (this.owners[node * this.words + word] ?? 0);
      }
    }
    let occupied = 0;
    for (const bits of seen) {
      // Zero if the word has one bit set.
      occupied += bits === 0 ? 0 : (bits & (bits - 1)) === 0 ? 1 : 2;
    }
    return occupied >= 2;
  }

  private own(node: number, word: number, bits: number): void {
    const at = node * this.words + word;
    this.owners[at] = (this.owners[at] ?? 0) | bits;
  }

  private passDown(id: number): void {
    const node = this.node(id);
    if (node.kind === 'symbol') {
      return;
    }
    for (const part of [node.head, node.argument]) {
      this.uses[part] = (this.uses[part] ?? 0) + (this.uses[id] ?? 0);
      for (let word = 0; word < this.words; word++) {
        this.own(part, word, this.owners[id * this.words + word] ?? 0);
      }
    }
  }

  private intern(term: Term): number {
    if (term.kind === 'application') {
      const [head, argument] = [this.intern(term.function), this.intern(term.argument)];
      return this.insert(`${head} ${argument}`, () => {
        const applied = this.node(head).type;
        const type = applied.kind === 'arrow' ? applied.result : programType;
        const cost = applicationCost + this.node(head).cost + this.node(argument).cost;
        return { kind: 'application', head, argument, term, cost, ...named(type) };
      });
    }
    if (term.kind !== 'symbol') {
      throw new Error('A program of the search has no lambda.');
    }
    const { name } = term;
    return this.insert(name, () => ({
      kind: 'symbol',
      name,
      term,
      cost: symbolCost,
      ...named(this.typeOf(name)),
    }));
  }

  private insert(key: string, make: () => CorpusNode): number {
    const known = this.ids.get(key);
    if (known !== undefined) {
      return known;
    }
    this.nodes.push(make());
    this.ids.set(key, this.nodes.length - 1);
    return this.nodes.length - 1;
  }
}

function named(type: Type): Pick<CorpusNode, 'type' | 'typeName'> {
  return { type, typeName: printType(type) };
}
