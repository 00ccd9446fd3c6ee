// Composes each mail of a list as nodemailer does. In: a JSON list of jobs' data. Out: a JSON list of {to, message}.
import { createRequire } from 'node:module';
import { text } from 'node:stream/consumers';

const require = createRequire(new URL('../../../bench/peers/nodemailer/package.json', import.meta.url));
const transport = require('nodemailer').createTransport({ streamTransport: true, buffer: true });

// What a Node program does with Buffers in the data of a job.
const revive = (_, value) => (value?.type === 'Buffer' && Array.isArray(value.data) ? Buffer.from(value.data) : value);

const mails = [];
for (const job of JSON.parse(await text(process.stdin), revive)) {
  const sent = await transport.sendMail({ from: 'no-reply@exams.example', ...job });
  mails.push({ to: sent.envelope.to, message: sent.message.toString('latin1') });
}
console.log(JSON.stringify(mails));
