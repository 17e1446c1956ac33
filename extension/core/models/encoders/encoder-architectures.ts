import { albert, bertVariants } from './bert-variants';
import { audioEncoders } from './audio-encoders';
import { bertRelatives } from './bert-relatives';
import { debertas } from './deberta';
import { stockClass } from './encoder-architecture';
import type { EncoderArchitecture } from './encoder-architecture';
import { t5Encoders } from './t5-encoder';
import { imageEncoders } from './image-encoders';
import { hubVariants, neoBert } from './hub-encoders';
import { textEncoders } from './text-encoders';
import { rotaryEncoders } from './rotary-encoders';
import type { ConfigFields } from '../transformer/model-config';
import { baseModelType } from '../transformer/model-config';

/** Every family of encoders that a Hugging Face folder can be opened as. */
export const encoderArchitectures: readonly EncoderArchitecture[] = [
  ...hubVariants,
  ...textEncoders,
  albert,
  ...bertRelatives,
  ...bertVariants,
  ...rotaryEncoders,
  neoBert,
  ...debertas,
  ...t5Encoders,
  ...imageEncoders,
  ...audioEncoders,
];

/** Encoder architecture for a config.json; undefined for a decoder with the same `model_type`. */
export function knownEncoder(config: ConfigFields): EncoderArchitecture | undefined {
  const modelType = baseModelType(String(config['model_type']));
  const [named] = [config['architectures']].flat();
  return encoderArchitectures.find(
    ({ modelType: known, matchingFields = {}, headClasses }) =>
      known === modelType &&
      headClasses?.includes(stockClass(named)) !== false &&
      Object.entries(matchingFields).every(([field, value]) => config[field] === value),
  );
}
