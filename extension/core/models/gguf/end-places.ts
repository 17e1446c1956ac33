import { allRows } from './gguf-rows';
import { placeModule, placeTensor } from './placing';
import type { BothNames, Places } from './placing';

/** What stands around the sublayers of a block. */
export function placeEnds(places: Places, { known, own, config }: BothNames): void {
  const { altUp, laurel, end } = known;
  for (const part of ['gate', 'projection', 'norm'] as const) {
    placeModule(places, end?.perLayer?.[part], own.end?.perLayer?.[part]);
  }
  for (const part of ['norm', 'router', 'predict', 'correct'] as const) {
    placeModule(places, altUp?.[part], own.altUp?.[part]);
  }
  for (const part of ['left', 'right', 'postNorm'] as const) {
    placeModule(places, laurel?.[part], own.laurel?.[part]);
  }
  if (end?.factor !== undefined && own.end?.factor !== undefined) {
    placeTensor(places, end.factor, own.end.factor);
  }
  const [scale, scaleInFile] = [end?.scale?.(config), own.end?.scale?.(config)];
  if (scale !== undefined && scaleInFile !== undefined) {
    placeTensor(places, scale, scaleInFile);
  }
}

/** What tokens bring to the ends of blocks, and the matrices of several streams. */
export function placeOutsideEnds(
  places: Places,
  { known: folder, own, config }: BothNames,
  prefix: string,
): void {
  const [from, to] = [folder.outer.perLayer, own.outer.perLayer];
  if (from !== undefined && to !== undefined) {
    placeModule(places, `${prefix}${from.projection}`, to.projection);
    placeModule(places, `${prefix}${from.norm}`, to.norm);
    // Tokens beyond the table bring what the first does.
    placeModule(places, `${prefix}${from.table}`, to.table, (tensor) => {
      const [known = 0, ...width] = tensor.shape;
      const count = Math.max(known, config.vocab_size);
      const order = (row: number): number => (row < known ? row : 0);
      return count === known ? {} : { shape: [count, ...width], rows: [{ tensor, count, order }] };
    });
  }
  const { altUp } = folder;
  for (const part of ['enter', 'leave'] as const) {
    const inFile = own.altUp?.[part];
    for (
      let i = 0;
      altUp !== undefined && inFile !== undefined && i < altUp.count(config) - 1;
      i++
    ) {
      places.set(`${prefix}${altUp[part]}.${i}.weight`, (tensor) => [
        { part: inFile, kind: 'weight', expert: i, ...allRows(tensor, [1, ...tensor.shape]) },
      ]);
    }
  }
}
