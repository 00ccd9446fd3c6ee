// What goes to the test, one JSON object per line.

export const write = (message) => process.stdout.write(`${JSON.stringify(message)}\n`);

/** Tells of something that happened. */
export const tell = (event, what) => write({ event, at: Date.now(), ...what });
