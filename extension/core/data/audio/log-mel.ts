/** Spectrogram parameters, named in comments as in transformers' WhisperFeatureExtractor. */
export interface SpectrogramForm {
  /** Sampling rate in Hz. */
  readonly rate: number;
  /** Number of input samples. Longer sounds are truncated, shorter ones padded with silence. */
  readonly samples: number;
  /** Window size (n_fft) and step (hop_length), in samples. */
  readonly window: number;
  readonly hop: number;
  /** Number of mel filters (feature_size). */
  readonly channels: number;
}

/** Upper frequency of the filters in Hz, at every sampling rate. */
const highest = 8000;
const minPower = 1e-10;
/** Dynamic range as a power of 10: levels are clipped to this far below the maximum. */
const range = 8;

/**
 * Log-mel spectrogram of Whisper (arXiv 2212.04356, section 2.2), with filters from Slaney's Auditory Toolbox.
 * @returns [channels, samples / hop]
 */
export function logMelSpectrogram(sound: Float32Array, form: SpectrogramForm): Float32Array {
  const { samples, hop, channels } = form;
  const frames = Math.floor(samples / hop);
  const framePower = framePowers(sound, form);
  const filters = melFilters(form);
  const result = new Float32Array(channels * frames).fill(Math.log10(minPower));
  let most = Math.log10(minPower);
  for (let frame = 0; frame < frames; frame++) {
    const powers = framePower(frame);
    for (let channel = 0; powers !== undefined && channel < channels; channel++) {
      const { first = 0, weights = [] } = filters[channel] ?? {};
      const sum = weights.reduce((all, weight, i) => all + weight * (powers[first + i] ?? 0), 0);
      const level = Math.log10(Math.max(minPower, sum));
      result[channel * frames + frame] = level;
      most = Math.max(most, level);
    }
  }
  return result.map((level) => (Math.max(level, most - range) + 4) / 4);
}

/**
 * Returns a function that computes the power spectrum of a frame, undefined if the frame is silent. Frame n is centered
 * on sample n · hop. All frames reuse one array: allocating one per frame takes longer than the sums.
 */
function framePowers(
  sound: Float32Array,
  { samples, window, hop }: SpectrogramForm,
): (frame: number) => Float64Array | undefined {
  const half = Math.floor(window / 2);
  const bins = half + 1;
  const hann = Float64Array.from(
    { length: window },
    (_, i) => (1 - Math.cos((2 * Math.PI * i) / window)) / 2,
  );
  const table = (wave: (angle: number) => number): Float64Array =>
    new Float64Array(bins * bins).map((_, i) =>
      wave((2 * Math.PI * ((Math.floor(i / bins) * (i % bins)) % window)) / window),
    );
  const [cosines, sines] = [table(Math.cos), table(Math.sin)];
  const heard = sound.subarray(0, samples);
  // Reflection padding: both ends are mirrored without repeating the last sample.
  const sampleAt = (place: number): number => {
    const inside = place < 0 ? -place : place < samples ? place : 2 * samples - 2 - place;
    return heard[inside] ?? 0;
  };
  const values = new Float64Array(window);
  const [even, odd] = [new Float64Array(bins), new Float64Array(bins)];
  const powers = new Float64Array(bins);
  return (frame) => {
    for (let i = 0; i < window; i++) {
      values[i] = (hann[i] ?? 0) * sampleAt(frame * hop - half + i);
    }
    if (values.every((value) => value === 0)) {
      return undefined;
    }
    // The input is real: cosines are symmetric and sines antisymmetric around the center.
    for (let i = 0; i < bins; i++) {
      const [one, other] = [values[i] ?? 0, i === 0 || 2 * i === window ? 0 : values[window - i]];
      even[i] = one + (other ?? 0);
      odd[i] = one - (other ?? 0);
    }
    for (let bin = 0; bin < bins; bin++) {
      let [real, imaginary] = [0, 0];
      for (let i = 0; i < bins; i++) {
        real += (even[i] ?? 0) * (cosines[bin * bins + i] ?? 0);
        imaginary += (odd[i] ?? 0) * (sines[bin * bins + i] ?? 0);
      }
      powers[bin] = real * real + imaginary * imaginary;
    }
    return powers;
  };
}

/** Triangular filters of equal area between neighboring mel frequencies, each from its first nonzero bin. */
function melFilters({
  rate,
  window,
  channels,
}: SpectrogramForm): { readonly first: number; readonly weights: readonly number[] }[] {
  const bins = Math.floor(window / 2) + 1;
  const top = hertzToMel(highest);
  const marks = Array.from({ length: channels + 2 }, (_, i) =>
    melToHertz((top * i) / (channels + 1)),
  );
  const step = Math.floor(rate / 2) / (bins - 1);
  return Array.from({ length: channels }, (_, channel) => {
    const [low = 0, middle = 0, high = 0] = marks.slice(channel);
    const all = Array.from({ length: bins }, (_, bin) => {
      const frequency = bin * step;
      const rise = (frequency - low) / (middle - low);
      const fall = (high - frequency) / (high - middle);
      return (2 / (high - low)) * Math.max(0, Math.min(rise, fall));
    });
    const first = Math.max(
      0,
      all.findIndex((weight) => weight > 0),
    );
    const last = all.findLastIndex((weight) => weight > 0);
    return { first, weights: all.slice(first, last + 1) };
  });
}

/** Slaney's mel scale: linear up to 1000 Hz, logarithmic above. */
const [even, marksBelow] = [200 / 3, 15];
const growth = Math.log(6.4) / 27;

const hertzToMel = (hertz: number): number => marksBelow + Math.log(hertz / 1000) / growth;

const melToHertz = (mel: number): number =>
  mel < marksBelow ? mel * even : 1000 * Math.exp((mel - marksBelow) * growth);
