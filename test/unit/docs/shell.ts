/** The words of each command of a shell block: comments, redirections and prompts are left out. */
export function commandsIn(block: string): string[][] {
  return block
    .replaceAll(/\\\n\s*/g, ' ')
    .split('\n')
    .map(splitWords)
    .filter((words) => words.length > 0);
}

function splitWords(line: string): string[] {
  const words = [...line.matchAll(/#.*$|"([^"]*)"|'([^']*)'|>\s*\S+|\S+/g)];
  return words.flatMap(([whole, double, single]) =>
    whole.startsWith('#') || whole.startsWith('>') ? [] : [double ?? single ?? whole],
  );
}
