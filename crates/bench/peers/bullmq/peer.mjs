// One measurement of BullMQ: node peer.mjs <package> <port> <add|bulk|run> <count> <width>
// Prints {"seconds": ...} and ends when stdin does, so that its memory can be looked at meanwhile.

const [name, port, work, ...numbers] = process.argv.slice(2);
const [count, width] = numbers.map(Number);
const { Queue, Worker } = await import(name);
const connection = { host: '127.0.0.1', port: Number(port), maxRetriesPerRequest: null };
const data = { pad: 'x'.repeat(1000) };

const works = {
  // `width` callers, each of which waits for its answer before it adds again.
  async add() {
    const queue = new Queue('bench', { connection });
    await queue.waitUntilReady();
    return async () => {
      let left = count;
      const caller = async () => {
        while (left-- > 0) await queue.add('bench', data);
      };
      await Promise.all(Array.from({ length: width }, caller));
    };
  },
  // Calls of `width` jobs, one after the other.
  async bulk() {
    const queue = new Queue('bench', { connection });
    await queue.waitUntilReady();
    const jobs = Array.from({ length: width }, () => ({ name: 'bench', data }));
    return async () => {
      for (let added = 0; added < count; added += width) await queue.addBulk(jobs);
    };
  },
  // `count` jobs that are there already, in `width` slots.
  async run() {
    const worker = new Worker('bench', async () => null, { connection, concurrency: width, autorun: false });
    await worker.waitUntilReady();
    return () =>
      new Promise((done) => {
        let completed = 0;
        worker.on('completed', () => {
          if (++completed === count) done();
        });
        worker.run();
      });
  },
};

const measured = await works[work]();
const started = performance.now();
await measured();
console.log(JSON.stringify({ seconds: (performance.now() - started) / 1000 }));
process.stdin.on('end', () => process.exit()).resume();
