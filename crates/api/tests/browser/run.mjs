// Drives the console in Chromium: node run.mjs CONFIG, a JSON object (see browser.rs). Prints a line for each fault, and ends
// with 1 if there was one.
//
// First every page of `pages`, in light, in dark and 400 pixels wide: axe, policy violations, foreign requests, overflow, and a
// screenshot. Then the scenarios in `scenarios/`, in order of their names: each exports a function that gets
// {browser, base, storage, open, assert, env}.
import { mkdirSync, readFileSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { chromium } from 'playwright-core';

const config = JSON.parse(process.argv[2]);
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const looks = {
  light: { colorScheme: 'light', viewport: { width: 1280, height: 800 } },
  dark: { colorScheme: 'dark', viewport: { width: 1280, height: 800 } },
  phone: { colorScheme: 'light', viewport: { width: 400, height: 800 } },
};
const faults = [];
/** When something is seen of a page first, in ms after its request; of all pages in all looks. */
const paints = [];
const fault = (where, what) => faults.push(`${where}: ${what}`);

const browser = await chromium.launch({
  executablePath: config.chromium,
  args: ['--no-sandbox', '--disable-background-networking', '--disable-dev-shm-usage'],
});

/** A page of its own context that reports what no page may do. */
async function open(where, options = {}) {
  const context = await browser.newContext({ ...looks.light, ...options });
  if (options.javaScriptEnabled !== false) {
    await context.exposeFunction('reportViolation', text => fault(where, `policy violated: ${text}`));
    await context.addInitScript(() => {
      addEventListener('securitypolicyviolation', event =>
        window.reportViolation(`${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`));
    });
  }
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  page.on('pageerror', error => fault(where, `script failed: ${error.message}`));
  page.on('console', message => {
    if (message.type() === 'error' && !message.text().includes('Failed to load resource')) fault(where, `console: ${message.text()}`);
  });
  page.on('request', request => {
    const url = request.url();
    if (!url.startsWith(config.base) && !url.startsWith('data:')) fault(where, `asks elsewhere: ${url}`);
  });
  page.on('response', response => {
    if (response.status() >= 500) fault(where, `${response.status()} for ${response.url()}`);
  });
  return page;
}

/** Faults of accessibility, overflow, and what is inline. */
async function check(page, where) {
  await page.evaluate(axe);
  const found = await page.evaluate(async () => {
    const { violations } = await window.axe.run(document, { resultTypes: ['violations'] });
    return violations.map(one => `${one.id} (${one.impact}): ${one.nodes.map(node => node.target.join(' ')).slice(0, 3).join(', ')}`);
  });
  found.forEach(text => fault(where, `axe: ${text}`));
  const root = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
  if (root[0] > root[1]) fault(where, `is ${root[0]} pixels wide on a screen of ${root[1]}`);
}

async function look(page, name, mode) {
  await page.screenshot({ path: `${config.screenshots}/${name}-${mode}.png`, fullPage: true });
}

const assert = (condition, text) => {
  if (!condition) throw new Error(text);
};

async function run(where, scenario) {
  try {
    await scenario();
  } catch (error) {
    fault(where, error.message.split('\n').slice(0, 3).join(' '));
  }
}

mkdirSync(config.screenshots, { recursive: true });
let storage;
await run('login', async () => {
  const page = await open('login');
  await page.goto(config.link);
  assert(new URL(page.url()).pathname === '/console', `the link leads to ${page.url()}`);
  storage = await page.context().storageState();
  await page.context().close();
});
for (const [mode, options] of Object.entries(looks)) {
  // One context for each look: pages share its cache, as in real life.
  const page = await open(mode, { ...options, storageState: storage });
  const guest = await open(mode, options);
  for (const { name, path, isPublic } of config.pages) {
    const where = `${name} (${mode})`;
    await run(where, async () => {
      const shown = isPublic ? guest : page;
      const response = await shown.goto(config.base + path);
      const expected = name.startsWith('error') ? 404 : name.startsWith('refused') ? 400 : 200;
      assert(response.status() === expected, `${response.status()} for ${path}`);
      const paint = await shown.evaluate(() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime);
      if (paint !== undefined) paints.push({ paint, where });
      await check(shown, where);
      await look(shown, name, mode);
    });
  }
  await page.context().close();
  await guest.context().close();
}
const folder = new URL('scenarios/', import.meta.url);
for (const file of readdirSync(folder).filter(file => file.endsWith('.mjs')).sort()) {
  const { default: scenario } = await import(new URL(file, folder));
  await run(file, () => scenario({
    browser,
    base: config.base,
    env: config.env ?? {},
    storage,
    looks,
    open: (options = {}) => open(file, { storageState: storage, ...options }),
    check,
    look,
    assert,
  }));
}
await browser.close();
paints.sort((one, other) => one.paint - other.paint);
const [middle, last] = [paints[paints.length >> 1], paints.at(-1)].map(one => `${Math.round(one.paint)} ms (${one.where})`);
console.log(`first paint of ${paints.length} pages: p50 ${middle}, slowest ${last}`);
faults.forEach(text => console.log(text));
console.log(faults.length === 0 ? 'no faults' : `${faults.length} faults`);
process.exitCode = faults.length === 0 ? 0 : 1;
