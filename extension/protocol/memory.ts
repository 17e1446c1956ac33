// What panels tell the memory of a model by, with keys and values of a context.
export { gateContext } from '../core/evaluate/gate';
export { memoryAt } from '../core/models/model-summary';
