/** How a sound becomes a spectrogram, in the words of transformers' WhisperFeatureExtractor. */
export interface SpectrogramForm {
  /** Samples per second. */
  readonly rate: number;
  /** Samples of the whole spectrogram: more are cut off, fewer are filled up with silence. */
  readonly samples: number;
  /** Samples of a window (n_fft), and from one to the next (hop_length). */
  readonly window: number;
  readonly hop: number;
  /** Mel filters (feature_size). */
  readonly channels: number;
}

/** Hz up to which filters lie, whatever the rate. */
const highest = 8000;
const leastPower = 1e-10;
/** Tens of decibels below the loudest where everything counts as silence. */
const range = 8;

/**
 * The log-mel spectrogram of Whisper (arXiv 2212.04356, section 2.2; filters after Slaney's Auditory Toolbox).
 * @returns [channels, samples / hop]
 */
export function logMelSpectrogram(sound: Float32Array, form: SpectrogramForm): Float32Array {
  const { samples, hop, channels } = form;
  const frames = Math.floor(samples / hop);
  const powerOf = framePowers(sound, form);
  const filters = melFilters(form);
  const result = new Float32Array(channels * frames).fill(Math.log10(leastPower));
  let most = Math.log10(leastPower);
  for (let frame = 0; frame < frames; frame++) {
    const powers = powerOf(frame);
    for (let channel = 0; powers !== undefined && channel < channels; channel++) {
      const { first = 0, weights = [] } = filters[channel] ?? {};
      const sum = weights.reduce((all, weight, i) => all + weight * (powers[first + i] ?? 0), 0);
      const level = Math.log10(Math.max(leastPower, sum));
      result[channel * frames + frame] = level;
      most = Math.max(most, level);
    }
  }
  return result.map((level) => (Math.max(level, most - range) + 4) / 4);
}

/**
 * The powers of frame n by frequency, undefined where it is silent; windows lie around the samples n · hop. All frames
 * have one array: making some for each takes longer than the sums.
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
  // Both ends are mirrored, without repeating the last sample.
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
    // Of real numbers: cosines are the same from both ends, sines have opposite signs.
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

/** Triangles between neighbouring marks of the mel scale, each with the same area; from their first frequency on. */
function melFilters({
  rate,
  window,
  channels,
}: SpectrogramForm): { readonly first: number; readonly weights: readonly number[] }[] {
  const bins = Math.floor(window / 2) + 1;
  const top = melOf(highest);
  const marks = Array.from({ length: channels + 2 }, (_, i) => hertzOf((top * i) / (channels + 1)));
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

/** Even up to 1000 Hz, logarithmic above. */
const [even, marksBelow] = [200 / 3, 15];
const growth = Math.log(6.4) / 27;

const melOf = (hertz: number): number => marksBelow + Math.log(hertz / 1000) / growth;

const hertzOf = (mel: number): number =>
  mel < marksBelow ? mel * even : 1000 * Math.exp((mel - marksBelow) * growth);
