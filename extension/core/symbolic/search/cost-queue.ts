/** Binary heap: returns items in order of cost, lowest first. */
export class CostQueue<Item extends { readonly cost: number }> {
  private readonly items: Item[] = [];

  /** Lowest cost; infinite if empty. */
  public get lowest(): number {
    return this.items[0]?.cost ?? Infinity;
  }

  public push(item: Item): void {
    let at = this.items.length;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = this.items[parent];
      if (above === undefined || above.cost <= item.cost) {
        break;
      }
      this.items[at] = above;
      at = parent;
    }
    this.items[at] = item;
  }

  public pop(): Item | undefined {
    const [first] = this.items;
    const last = this.items.pop();
    if (last !== undefined && this.items.length > 0) {
      this.sink(last);
    }
    return first;
  }

  /** Inserts an item at the root and sinks it below all cheaper items. */
  private sink(item: Item): void {
    let at = 0;
    for (;;) {
      const [left, right] = [this.items[2 * at + 1], this.items[2 * at + 2]];
      const isRight = right !== undefined && left !== undefined && right.cost < left.cost;
      const child = isRight ? right : left;
      if (child === undefined || child.cost >= item.cost) {
        break;
      }
      this.items[at] = child;
      at = 2 * at + (isRight ? 2 : 1);
    }
    this.items[at] = item;
  }
}
