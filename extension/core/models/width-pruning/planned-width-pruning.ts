/** Channels or head groups that a plan removes from a sublayer. */
export interface PlannedWidthPruning {
  readonly sublayer: string;
  /** Ranges such as `0-3,7` of MLP channels, or of key/value heads with their query heads. */
  readonly remove: string;
}
