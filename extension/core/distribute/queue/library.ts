// What talks to servers, in a bundle of its own: loaded where a queue is named, and only then.
export { Queue, Worker } from 'bullmq';
export { Redis } from 'ioredis';
