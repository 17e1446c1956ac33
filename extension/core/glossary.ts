import { moderateDistance } from './change-size';
import { say } from './message';

/** What terms mean, in a sentence: where a pointer rests on them, and in the help of the command line. */
export const glossary = {
  distance: say`How far the output is from the original’s when this is removed. The metric says how it is measured. Below ${moderateDistance} (js) perplexity grew by about 10 % or less on the sample model.`,
  layerDistance: say`How far the output is from the original’s when this layer alone is compressed. Below ${moderateDistance} (js) perplexity grew by about 10 % or less on the sample model.`,
  predictedDistance: say`The sum of what each change costs alone: a guess before the plan is measured.`,
  measuredDistance: say`How far the output of the model with all changes of the plan is from the original’s.`,
  expectedDistance: say`What the removals cost alone, added up, and corrected by the round of the search that is most like this choice. A guess, usually within 30 % and rather too low: Evaluate measures perplexity.`,
  rank: say`Its place when all candidates are sorted by distance: 1 is the cheapest to remove.`,
  preview: say`How much it turns the states that pass it, on a few tokens: a first guess, not the distance.`,
  round: say`The step of the search that removed it. Later steps measure on top of earlier removals.`,
  flopsPerToken: say`Arithmetic that running one token takes: multiply-adds count as two.`,
  kvBytesPerToken: say`Memory for keys and values that each token of context keeps while text is generated.`,
  perplexity: say`How surprised the model is by held-out text: lower is better. Compare it with the original’s on the same text.`,
  klDivergence: say`How far the probabilities of the next token are from the original’s, in nats: 0 where they are the same.`,
  agreement: say`Share of the tokens where both models find the same next token likeliest.`,
  matrixError: say`How far the numbers of the compressed matrix are from the original’s, relative to their size.`,
  outputError: say`How far what the layer computes is from the original’s on the calibration text, relative to its size.`,
  level: say`How strongly the layer is compressed: the rank, the bond dimension, or the number of bits.`,
  decodeTime: say`Time that this layer takes for one token while text is generated, measured on this machine.`,
  prefillTime: say`Time that this layer takes for each token of a prompt that is read at once, measured on this machine.`,
  drift: say`How far the hidden states behind it are from the original’s, relative to their size.`,
} as const;
