import { moderateDistance } from './quality-labels';
import { say } from './message';

/** Definitions of terms in one sentence, for hovers and the help of the command line. */
export const glossary = {
  distance: say`Distance of the output to the original's after removing this sublayer, by the metric. Below ${moderateDistance} (js), perplexity grew by about 10 % or less on the sample model.`,
  layerDistance: say`Distance of the output to the original's after compressing only this layer. Below ${moderateDistance} (js), perplexity grew by about 10 % or less on the sample model.`,
  predictedDistance: say`The sum of the losses of single changes: a guess before the plan is measured.`,
  measuredDistance: say`Distance of the model's output to the original's with all changes of the plan.`,
  expectedDistance: say`Estimated from individual distances and the most similar search round. Usually within 30 %, often too low. Select Evaluate to measure.`,
  rank: say`Rank when all candidates are sorted by distance: 1 is the cheapest to remove.`,
  preview: say`Angle between the hidden states before and after this sublayer, on a few tokens. A rough preview, not the distance.`,
  round: say`The step of the search that removed it. Later steps measure on top of earlier removals.`,
  flopsPerToken: say`Operations per token: a multiply-add counts as two.`,
  kvBytesPerToken: say`Memory for keys and values of each token of context during generation.`,
  perplexity: say`Perplexity on held-out text; lower is better. Compare it with the original's on the same text.`,
  klDivergence: say`KL divergence of the next-token probabilities from the original's, in nats; 0 if they are equal.`,
  agreement: say`Share of tokens for which both models predict the same next token.`,
  matrixError: say`Distance of the compressed matrix to the original, relative to its norm.`,
  outputError: say`Distance of the layer's output to the original's on the calibration text, relative to its norm.`,
  setting: say`Setting of the compression: rank, bond dimension or group size.`,
  decodeTime: say`Time of this layer per token during decoding, measured on this machine.`,
  prefillTime: say`Time of this layer per prompt token during prefill, measured on this machine.`,
  drift: say`Distance of the hidden states after this sublayer to the original's, relative to their norm.`,
} as const;
