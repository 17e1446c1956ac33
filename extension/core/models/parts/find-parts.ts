/** Finds a part by its names in a checkpoint; undefined if the model or the block has none. */
export type FindPart<Part, Source, Names = object> = (
  names: Names,
  source: Source,
) => Part | undefined;

type Finders<Part, Source> = Readonly<Record<string, FindPart<Part, Source, never>>>;

/** Names of parts in the table of an architecture, in order. The table loads without the code that emits them. */
export type PartNames<Known extends Finders<unknown, never>> = {
  readonly [Kind in keyof Known]?: Parameters<Known[Kind]>[0];
};

/** Finds the weights of an architecture's parts; parts that the model or the block lacks are skipped. */
export const findParts = <Part, Source, Known extends Finders<Part, Source>>(
  finders: Known,
  names: PartNames<Known> = {},
  source: Source,
): Part[] =>
  Object.entries(names).flatMap(([kind, own]) => {
    const find = finders[kind] as FindPart<Part, Source, typeof own> | undefined;
    return find?.(own, source) ?? [];
  });
