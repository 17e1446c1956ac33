const emptySlot = -1;

/**
 * Interned tuples of four 32-bit integers, with ids from 0 in order of insertion. Keeps graphs, stacks and states
 * small, and reduces comparing them to comparing ids.
 */
export class TupleTable {
  private fields = new Int32Array(4 * 256);
  private slots = new Int32Array(1024).fill(emptySlot);
  private count = 0;

  public get size(): number {
    return this.count;
  }

  /** Returns the id of the tuple, and adds it if necessary. */
  public intern(a: number, b: number, c: number, d: number): number {
    let slot = this.hash(a, b, c, d);
    for (;;) {
      const id = this.slots[slot] ?? emptySlot;
      if (id === emptySlot) {
        return this.insert(slot, a, b, c, d);
      }
      const at = 4 * id;
      if (
        this.fields[at] === a &&
        this.fields[at + 1] === b &&
        this.fields[at + 2] === c &&
        this.fields[at + 3] === d
      ) {
        return id;
      }
      slot = (slot + 1) & (this.slots.length - 1);
    }
  }

  /** Element of the tuple, `field` 0 to 3. */
  public field(id: number, field: number): number {
    return this.fields[4 * id + field] ?? 0;
  }

  private hash(a: number, b: number, c: number, d: number): number {
    let mixed = Math.imul(a, 0x9e3779b1) ^ Math.imul(b + 0x7f4a7c15, 0x85ebca6b);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0xc2b2ae35) ^ Math.imul(c + 0x165667b1, 0x27d4eb2f);
    mixed = Math.imul(mixed ^ (mixed >>> 13), 0x9e3779b1) ^ Math.imul(d + 0x2545f491, 0x85ebca6b);
    mixed ^= mixed >>> 16;
    return mixed & (this.slots.length - 1);
  }

  private insert(slot: number, a: number, b: number, c: number, d: number): number {
    const id = this.count++;
    if (4 * this.count > this.fields.length) {
      const grown = new Int32Array(2 * this.fields.length);
      grown.set(this.fields);
      this.fields = grown;
    }
    this.fields.set([a, b, c, d], 4 * id);
    this.slots[slot] = id;
    if (2 * this.count > this.slots.length) {
      this.rehash();
    }
    return id;
  }

  private rehash(): void {
    this.slots = new Int32Array(2 * this.slots.length).fill(emptySlot);
    for (let id = 0; id < this.count; id++) {
      const at = 4 * id;
      let slot = this.hash(
        this.fields[at] ?? 0,
        this.fields[at + 1] ?? 0,
        this.fields[at + 2] ?? 0,
        this.fields[at + 3] ?? 0,
      );
      while (this.slots[slot] !== emptySlot) {
        slot = (slot + 1) & (this.slots.length - 1);
      }
      this.slots[slot] = id;
    }
  }
}
