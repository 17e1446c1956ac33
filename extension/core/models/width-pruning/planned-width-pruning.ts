/** Channels or head groups that a plan removes from a sublayer. */
export interface PlannedWidthPruning {
  readonly sublayer: string;
  /** Channels of a feed-forward, or key/value heads of an attention, whose query heads go with them: ranges such as `0-3,7`. */
  readonly remove: string;
}
