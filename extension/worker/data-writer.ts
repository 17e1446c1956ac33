import { convertScores } from '../core/operations/convert-scores';
import { exportData } from '../core/operations/export-data';
import { selectData } from '../core/operations/select-data';
import { answering } from './answer';

/** Handler of requests to write from scores and their dataset. */
export const dataWriter = answering([exportData, selectData, convertScores]);
