import { projectionNames } from '../gguf/gguf-places';
import { t5FolderNames, t5GgufNames } from './t5-names';
import type { T5Names, T5Tower } from './t5-names';

/** Names below a block of a tower, alike in folders and files. */
const listed = (
  { attention, crossAttention, feedforward, distanceBias }: T5Tower,
  isDecoder: boolean,
): readonly (string | undefined)[] => [
  ...[attention, ...(isDecoder ? [crossAttention] : [])].flatMap((own) => [
    own.wiring.norm,
    ...projectionNames(own.queryKeyValue),
    own.output,
  ]),
  feedforward.wiring.norm,
  ...projectionNames(feedforward.gateUp),
  feedforward.down,
  distanceBias,
];

const towersOf = ({ encoder, decoder }: T5Names): readonly T5Tower[] => [encoder, decoder];

/**
 * What a tensor of a folder is called in a GGUF file; undefined where it has no place.
 * @param isGated whether feed-forwards have a gate
 */
export function t5PlaceInGguf(isGated: boolean): (name: string) => string | undefined {
  const [folder, file] = [t5FolderNames(isGated), t5GgufNames(isGated)];
  const outside = new Map([
    ...folder.words.map((words): [string, string] => [words, file.words[0] ?? '']),
    [folder.head, file.head],
    ...towersOf(folder).map((tower, i): [string, string] => [
      `${tower.prefix}${tower.finalNorm}`,
      `${towersOf(file)[i]?.prefix ?? ''}${file.encoder.finalNorm}`,
    ]),
  ]);
  const towers = towersOf(folder).map((tower, i) => {
    const own = towersOf(file)[i] ?? file.encoder;
    const after = listed(own, i > 0);
    return {
      start: `${tower.prefix}${tower.blocks}.`,
      inFile: `${own.prefix}${own.blocks}.`,
      parts: new Map(listed(tower, i > 0).map((name, part) => [name, after[part]])),
    };
  });
  return (name) => {
    const [, module = '', kind = ''] = /^(.*)\.(\w+)$/.exec(name) ?? [];
    const tower = towers.find(({ start }) => module.startsWith(start));
    const [, block = '', below] = /^(\d+)\.(.*)$/.exec(module.slice(tower?.start.length)) ?? [];
    const part = tower === undefined ? outside.get(module) : tower.parts.get(below);
    return part === undefined
      ? undefined
      : tower === undefined
        ? `${part}.${kind}`
        : `${tower.inFile}${block}.${part}.${kind}`;
  };
}
