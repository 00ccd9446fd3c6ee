// What a Node team would write: BullMQ's worker, nodemailer's pool, five mails at once.
// node worker.mjs <Redis port> <SMTP port> <slots> [bullmq | bullmq-5] [nodemailer | nodemailer-7]
const [, , ...args] = process.argv;
const [redisPort, smtpPort, slots] = args.map(Number);
const { Worker } = await import(args[3] ?? 'bullmq');
const { createTransport } = await import(args[4] ?? 'nodemailer');
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
