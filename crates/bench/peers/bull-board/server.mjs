// Bull Board, as its documentation sets it up: node server.mjs REDIS_PORT QUEUE
import { createBullBoard } from '@bull-board/api';
import { BullMQAdapter } from '@bull-board/api/bullMQAdapter';
import { ExpressAdapter } from '@bull-board/express';
import { Queue } from 'bullmq';
import express from 'express';

const [port, name] = process.argv.slice(2);
const queue = new Queue(name, { connection: { host: '127.0.0.1', port: Number(port) } });
const serverAdapter = new ExpressAdapter();
serverAdapter.setBasePath('/board');
createBullBoard({ queues: [new BullMQAdapter(queue)], serverAdapter });
const app = express();
app.use('/board', serverAdapter.getRouter());
const server = app.listen(0, '127.0.0.1', () => console.log(`port ${server.address().port}`));
