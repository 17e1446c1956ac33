export { appliedPage } from './applied-page';
export { evaluationPage, taskPage } from './evaluation-page';
export { fittedPage } from './fitted-page';
export { patchedPage } from './patched-page';
export { repairedPage } from './repaired-page';
