import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { readGgufHeader } from '../checkpoints/gguf';
import { isProjector } from '../checkpoints/model-folder';

/** A projector for images or audio next to a GGUF model, which llama.cpp loads with `--mmproj`. */
export interface Projector {
  readonly name: string;
  readonly bytes: number;
  /** As its header names them: `clip.projector_type`, or one for images and one for audio. */
  readonly types: readonly string[];
}

const typeKeys = ['clip', 'clip.vision', 'clip.audio'].map((part) => `${part}.projector_type`);

/** The projectors in a folder. A damaged one has no types: nothing is run with it. */
export async function findProjectors(folder: string): Promise<Projector[]> {
  const names = (await readdir(folder).catch((): string[] => [])).filter(isProjector).sort();
  const found = await Promise.all(
    names.map(async (name): Promise<Projector[]> => {
      const path = join(folder, name);
      const file = await stat(path).catch(() => undefined);
      const metadata = await readGgufHeader(path).then(
        (header) => header.metadata,
        () => undefined,
      );
      const types = typeKeys.flatMap((key) => {
        const type = metadata?.get(key);
        return typeof type === 'string' ? [type] : [];
      });
      return file?.isFile() === true ? [{ name, bytes: file.size, types }] : [];
    }),
  );
  return found.flat();
}
