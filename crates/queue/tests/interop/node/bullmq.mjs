// Queues, jobs, workers and QueueEvents of both versions, created at their first use.
import { report } from './wire.mjs';

const packages = { 5: 'bullmq-5', 6: 'bullmq' };
const connection = { host: '127.0.0.1', port: Number(process.argv[2]), maxRetriesPerRequest: null };
const made = new Map();

// Returns the object with this key; `make` creates it from its package.
async function only(kind, { version, name = '' }, make) {
  const key = `${kind} ${version} ${name}`;
  if (!made.has(key)) made.set(key, import(packages[version]).then(make));
  return made.get(key);
}

export const queueOf = ({ version, queue = 'email', prefix = 'bull' }) =>
  only('queue', { version, name: `${prefix}:${queue}` }, ({ Queue }) => new Queue(queue, { connection, prefix }));

const flowsOf = ({ version }) => only('flows', { version }, ({ FlowProducer }) => new FlowProducer({ connection }));

/** Calls a method of a FlowProducer. */
export async function flow({ call, args = [], ...request }) {
  return (await flowsOf(request))[call](...args);
}

/** Calls a method of the queue. */
export async function queue({ call, args = [], ...request }) {
  return (await queueOf(request))[call](...args);
}

/** Calls a method of a job; `waitUntilFinished` gets the version's QueueEvents. */
export async function job({ jobId, call, args = [], ...request }) {
  const found = await (await queueOf(request)).getJob(jobId);
  if (!found) throw new Error(`there is no job ${jobId}`);
  return found[call](...(call === 'waitUntilFinished' ? [await eventsOf(request), ...args] : args));
}

/** Starts a worker that reports each run; it has the backoff `linear`. */
export async function worker({ options, ...request }) {
  const { name, queue = 'email', prefix } = request;
  const started = await only('worker', request, async ({ Worker, UnrecoverableError, WaitingChildrenError }) => {
    const run = async (job, _token, signal) => {
      report('run', { worker: name, job });
      if (job.data?.children && !(await endOfChildren(job, request))) throw new WaitingChildrenError();
      return handle(job, UnrecoverableError, signal);
    };
    const linear = (made, type, _error, job) => (type === 'linear' ? made * job.opts.backoff.delay : -1);
    const settings = { backoffStrategy: linear };
    const worker = new Worker(queue, run, { connection, prefix, name, settings, ...options });
    worker.on('error', (error) => report('worker-error', { worker: name, message: error.message }));
    worker.on('stalled', (jobId) => report('worker-stalled', { worker: name, jobId }));
    return worker;
  });
  await started.waitUntilReady();
}

/** Takes a job, without a worker's loop. */
export async function take({ token, ...request }) {
  const make = ({ Worker }) => new Worker('email', null, { connection, autorun: false });
  const worker = await only('taker', request, make);
  return worker.getNextJob(token, { block: false });
}

/** Cancels a job of a worker. */
export async function cancel({ jobId, reason, ...request }) {
  const started = await only('worker', request);
  return started.cancelJob(jobId, reason);
}

// Does what a job's data says, in the terms of `ours.rs`.
async function handle(job, UnrecoverableError, signal) {
  const { cancellable, failures = 0, hangs = 0, unrecoverable, value } = job.data ?? {};
  if (job.attemptsStarted <= hangs) await new Promise(() => {});
  if (cancellable) {
    if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve));
    throw new (job.attemptsMade > 0 ? UnrecoverableError : Error)(`cancelled ${job.attemptsMade}`);
  }
  if (unrecoverable) throw new UnrecoverableError(unrecoverable);
  if (job.attemptsMade < failures) throw new Error(`boom${job.attemptsMade + 1}`);
  return value;
}

// Adds a job's children at its first run, and returns whether all of them have ended.
async function endOfChildren(job, request) {
  const parent = { id: job.id, queue: job.queueQualifiedName };
  for (const child of job.attemptsStarted === 1 ? job.data.children : []) {
    await (await flowsOf(request)).add({ ...child, opts: { ...child.opts, parent } });
  }
  return !(await job.moveToWaitingChildren(job.token));
}

const eventsOf = (request) =>
  only('events', { version: request.version }, async ({ QueueEvents }) => {
    const events = new QueueEvents('email', { connection });
    events.on('error', (error) => report('events-error', { message: error.message }));
    for (const name of ['active', 'completed', 'delayed', 'failed', 'progress', 'retries-exhausted', 'stalled']) {
      events.on(name, (what) => report('queue-event', { version: request.version, name, what }));
    }
    await events.waitUntilReady();
    return events;
  });

/** Reports what QueueEvents sees from now on. */
export async function events(request) {
  await eventsOf(request);
}

/** Stops a worker. */
export async function stop(request) {
  await (await made.get(`worker ${request.version} ${request.name}`)).close();
}
