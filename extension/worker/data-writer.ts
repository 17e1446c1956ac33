import { convertScores } from '../core/operations/convert-scores';
import { exportData } from '../core/operations/export-data';
import { selectData } from '../core/operations/select-data';
import { answering } from './answer';

/** What answers requests to write from scores and their data set. */
export const dataWriter = answering([exportData, selectData, convertScores]);
