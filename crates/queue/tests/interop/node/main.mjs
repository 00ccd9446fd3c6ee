// BullMQ and Bull Board for the interop tests. Each line on stdin is a request {id, op, ...}; each line on stdout is an
// answer {id, ok} or {id, error}, or a message: {event, at, ...}. Exits when stdin ends.
import { createInterface } from 'node:readline';
import { board } from './board.mjs';
import { cancel, events, flow, job, queue, stop, take, worker } from './bullmq.mjs';
import { report, write } from './wire.mjs';

const operations = { board, cancel, events, flow, job, queue, stop, take, worker };

process.on('unhandledRejection', (error) => report('unhandled', { message: String(error) }));

createInterface({ input: process.stdin })
  .on('line', async (line) => {
    const { id, op, ...request } = JSON.parse(line);
    try {
      write({ id, ok: (await operations[op](request)) ?? null });
    } catch (error) {
      write({ id, error: error.message });
    }
  })
  .on('close', () => process.exit());
