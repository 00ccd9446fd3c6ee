// Node programs on the mailers' queue: node mails.mjs produce <Redis' port> <first number>
//                                      node mails.mjs send <Redis' port> <SMTP port>
// The producer writes {"added": id, "at": ms} once Redis has a job, and ends at SIGTERM, after the job that it is adding.
import { createRequire } from 'node:module';
import { setTimeout as sleep } from 'node:timers/promises';

const from = (folder) => createRequire(new URL(`../../${folder}/package.json`, import.meta.url));
const { Queue, Worker } = from('queue/tests/interop/node')('bullmq');
const { createTransport } = from('bench/peers/nodemailer')('nodemailer');

const [work, port, given] = process.argv.slice(2);
const connection = { host: '127.0.0.1', port: Number(port), maxRetriesPerRequest: null };
const options = { attempts: 10, backoff: { type: 'fixed', delay: 500 } };
// Redis is away at times: the clients connect again by themselves.
const ignore = () => {};

async function produce() {
  const queue = new Queue('email', { connection }).on('error', ignore);
  let stops = false;
  process.on('SIGTERM', () => (stops = true));
  console.log('ready');
  for (let number = Number(given); !stops; number++) {
    const [jobId, to] = [`node-${number}`, `node${number}@example.com`];
    const add = () => queue.add('send-email', { to, subject: `Node ${number}`, html: '<p>Hi</p>' }, { jobId, ...options });
    // With the same id it is there once, however often it is added.
    while (!(await add().catch(ignore))) await sleep(50);
    console.log(JSON.stringify({ added: jobId, at: Date.now() }));
    await sleep(100);
  }
  process.exit();
}

async function send() {
  const transport = createTransport({ host: '127.0.0.1', port: Number(given), ignoreTLS: true });
  // The name after the @ says who has sent it.
  const mail = ({ id, data: { to, subject, html } }) =>
    transport.sendMail({ from: 'no-reply@exams.example', to, subject, html, messageId: `<${id}@node.example>` });
  const times = { lockDuration: 1000, stalledInterval: 1000, maxStalledCount: 5 };
  const worker = new Worker('email', async (job) => (await mail(job)).messageId, { connection, ...times });
  worker.on('error', ignore);
  await worker.waitUntilReady();
  console.log('ready');
}

await { produce, send }[work]();
