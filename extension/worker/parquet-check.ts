import { decodeParquet } from '../core/data/datasets/check-parquet';
import type { ParquetTask } from '../core/data/datasets/check-parquet';
import { serveTasks } from '../core/jobs/child-task';

serveTasks(async (task) => decodeParquet(task as ParquetTask));
