import { join } from 'node:path';
import * as v from 'valibot';
import { isRecord, readJsonObject } from '../../data/json-object';
import { downloadTokenizer, readTokenizerSettings } from '../../data/tokenizer-settings';
import { UserError } from '../../user-error';
import { headerEntry, tokenizerKey } from './header-entries';
import { say } from '../../message';

/** Names of special tokens in a GGUF file, and in a folder in order of priority. */
const specialNames = {
  bos: ['bos', 'cls'],
  eos: ['eos', 'sep'],
  unknown: ['unk'],
  padding: ['pad'],
  cls: ['cls'],
  // llama.cpp spells it so.
  seperator: ['sep'],
  mask: ['mask'],
} as const;
type SpecialName = keyof typeof specialNames;

/**
 * Header entries for special tokens. Sources in order: the post-processor of tokenizer.json, tokenizer_config.json,
 * special_tokens_map.json, then ids in config.json.
 * @param tokens by id
 * @param unknown unknown token of the tokenizer's model, or undefined
 * @throws UserError if the post-processor adds something that is not a token
 */
export async function specialEntries(
  folder: string,
  processor: unknown,
  tokens: readonly string[],
  unknown: string | null | undefined,
): Promise<Buffer[]> {
  const { specialTokens, chatTemplate } = await readTokenizerSettings(folder);
  const file = join(folder, 'tokenizer.json');
  const config = (await readJsonObject(join(folder, 'config.json'), downloadTokenizer)) ?? {};
  const findId = (text: string | null | undefined): number | undefined => {
    const id = typeof text === 'string' ? tokens.indexOf(text) : -1;
    return id < 0 ? undefined : id;
  };
  const around = (text: string | undefined): number | undefined => {
    const id = findId(text);
    if (text !== undefined && id === undefined) {
      throw new UserError(
        'special-token-unknown',
        say`${JSON.stringify(text)}, which is added around texts, is not a token.`,
        { file, field: 'post_processor', remedy: downloadTokenizer },
      );
    }
    return id;
  };
  const [before, after] = addedTokens(processor).map(around);
  const named = (names: readonly string[]): number | undefined =>
    names.map((name) => findId(specialTokens[`${name}_token`])).find((id) => id !== undefined);
  const numbered = (names: readonly string[]): number | undefined =>
    names.map((name) => idIn(config, `${name}_token_id`)).find((id) => id < tokens.length);
  const own: Partial<Record<SpecialName, number | undefined>> = { bos: before, eos: after };
  const otherwise: typeof own = { unknown: findId(unknown), seperator: after };
  const ids = Object.entries(specialNames).map(([name, inFolder]) => [
    name,
    own[name as SpecialName] ??
      named(inFolder) ??
      otherwise[name as SpecialName] ??
      numbered(inFolder),
  ]);
  // // The token that ends a text can differ from the one that ends an answer.
  const answerEnd = named(['eos']);
  const further = after === undefined || answerEnd === after ? [] : [['eot', answerEnd]];
  return [
    ...[...ids, ...further].flatMap(([name, id]) =>
      typeof id === 'number' ? [headerEntry.integer(tokenizerKey(`${name}_token_id`), id)] : [],
    ),
    headerEntry.flag(tokenizerKey('add_bos_token'), before !== undefined),
    headerEntry.flag(tokenizerKey('add_eos_token'), after !== undefined),
    ...(chatTemplate === undefined
      ? []
      : [headerEntry.text('tokenizer.chat_template', chatTemplate)]),
  ];
}

/** Token id in config.json, or in the text model's config; infinity if absent. */
function idIn(config: Readonly<Record<string, unknown>>, field: string): number {
  const { text_config: text } = config;
  const id = config[field] ?? (isRecord(text) ? text[field] : undefined);
  return typeof id === 'number' && id >= 0 ? id : Infinity;
}

const special = v.looseObject({ SpecialToken: v.looseObject({ id: v.string() }) });
const templateSchema = v.looseObject({
  type: v.literal('TemplateProcessing'),
  single: v.array(v.looseObject({})),
});
const tokenSchema = v.tuple([v.string(), v.number()]);
/** Post-processors of BERT and RoBERTa. */
const pairSchema = v.looseObject({
  type: v.picklist(['BertProcessing', 'RobertaProcessing']),
  cls: tokenSchema,
  sep: tokenSchema,
});

/** Texts of the tokens that are put before and after a text. */
function addedTokens(
  processor: unknown,
): readonly [before: string | undefined, after: string | undefined] {
  const { processors } = (processor ?? {}) as { processors?: unknown };
  const all: readonly unknown[] = Array.isArray(processors) ? processors : [processor];
  const pair = all.find((one) => v.is(pairSchema, one));
  if (pair !== undefined) {
    return [pair.cls[0], pair.sep[0]];
  }
  const { single = [] } = all.find((one) => v.is(templateSchema, one)) ?? {};
  const tokenText = (part: unknown): string | undefined =>
    single.length > 1 && v.is(special, part) ? part.SpecialToken.id : undefined;
  return [tokenText(single[0]), tokenText(single.at(-1))];
}
