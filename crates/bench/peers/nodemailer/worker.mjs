// What a Node team would write: BullMQ's worker, nodemailer's pool, five mails at once.
// node worker.mjs <Redis port> <SMTP port> <slots>
import { Worker } from 'bullmq';
import { createTransport } from 'nodemailer';

const [redisPort, smtpPort, slots] = process.argv.slice(2).map(Number);
const transport = createTransport({
  host: '127.0.0.1',
  port: smtpPort,
  secure: false,
  ignoreTLS: true,
  pool: true,
  maxConnections: slots,
  maxMessages: Infinity,
});
const send = async job => {
  const { to, subject, html, text } = job.data;
  const sent = await transport.sendMail({ from: 'no-reply@localhost', to, subject, html, text });
  return { messageId: sent.messageId, response: sent.response };
};
const connection = { host: '127.0.0.1', port: redisPort, maxRetriesPerRequest: null };
const worker = new Worker('email', send, { connection, concurrency: slots });
worker.on('ready', () => console.log('ready'));
worker.on('error', error => console.error(error.message));
