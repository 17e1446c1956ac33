import { getHeapStatistics, setFlagsFromString } from 'node:v8';

/** Bytes that are allocated, in the heap or as buffers, before V8 collects all garbage. It also does so for 64 MB of buffers. */
const slackBytes = 96 << 20;
/** Larger heaps grow as V8 decides. */
const mostHeapBytes = 256 << 20;

/**
 * Raises V8's limit of the heap. By default, a heap of 25 MB is collected for every 16 to 24 MB of hidden states, because their
 * buffers count: a search of SmolLM2-135M spent 13 % of its processor time on that (Node 20). Node 24 accepts the flag without an effect.
 */
export function raiseHeapLimit(): void {
  const { used_heap_size: used } = getHeapStatistics();
  const percent = used > mostHeapBytes ? 0 : Math.ceil((100 * slackBytes) / used);
  setFlagsFromString(`--heap-growing-percent=${percent}`);
}
