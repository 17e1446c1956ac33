/** A tensor in memory. */
export interface TensorData {
  readonly dtype: 'F32' | 'F16' | 'U8' | 'I8';
  readonly shape: readonly number[];
  /** Little-endian, the last index running fastest. */
  readonly bytes: Uint8Array;
}
