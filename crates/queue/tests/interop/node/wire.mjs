// Messages to the test, one JSON object per line.

export const write = (message) => process.stdout.write(`${JSON.stringify(message)}\n`);

/** Sends a message about an event. */
export const report = (event, what) => write({ event, at: Date.now(), ...what });
