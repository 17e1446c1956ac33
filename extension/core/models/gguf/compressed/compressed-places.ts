import type { CompressedNames } from '../../parts/compressed/compressed-parts';
import type { ConnectionNames } from '../../transformer/block-end-names';
import { placeModule, placeTensor } from '../placing';
import type { BothNames, Places } from '../placing';

/** What attention has that reads compressed runs of tokens. */
export function placeCompressed(places: Places, { known, own }: BothNames): void {
  const [from, to] = [known.attention.compressed, own.attention.compressed];
  if (from === undefined || to === undefined) {
    return;
  }
  for (const part of ['queryDown', 'queryNorm', 'queryUp', 'key', 'keyNorm', 'groups'] as const) {
    placeModule(places, from[part], to[part]);
  }
  placeTensor(places, from.sinks, to.sinks);
  placeCompressor(places, from.compressor, to.compressor);
  placeModule(places, from.indexer.query, to.indexer.query);
  placeModule(places, from.indexer.weights, to.indexer.weights);
  placeCompressor(places, from.indexer.compressor, to.indexer.compressor);
}

function placeCompressor(
  places: Places,
  from: CompressedNames['compressor'],
  to: CompressedNames['compressor'],
): void {
  for (const part of ['values', 'gate', 'norm'] as const) {
    placeModule(places, from[part], to[part]);
  }
  placeTensor(places, from.places, to.places);
}

/** What connects a block's sublayers, or the end of the model, with several streams. */
export function placeConnections(
  places: Places,
  { known, own }: BothNames,
  ends: readonly ('attention' | 'feedforward' | 'head')[],
  prefix = '',
): void {
  const [from, to] = [known.connections, own.connections];
  if (from === undefined || to === undefined) {
    return;
  }
  const named = (names: ConnectionNames, one: (typeof ends)[number], part: string): string =>
    `${names[one]}${part}${names.ending ?? ''}`;
  for (const one of ends) {
    for (const part of ['fn', 'base', 'scale']) {
      placeTensor(places, `${prefix}${named(from, one, part)}`, named(to, one, part));
    }
  }
}
