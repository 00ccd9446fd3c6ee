// A hidden tab has no stream, and no page of ours is shown in a frame of another site.
import { createServer } from 'node:http';

async function hidden({ base, open, assert }) {
  const page = await open();
  const isStream = request => request.url() === `${base}/console/live`;
  await page.goto(`${base}/console`);
  await page.waitForSelector('#live-state[data-state=on]');
  // Chromium without a screen has no hidden tabs: the page is told that it is one.
  const show = shown => page.evaluate(isShown => {
    Object.defineProperty(document, 'hidden', { value: !isShown, configurable: true });
    Object.defineProperty(document, 'visibilityState', { value: isShown ? 'visible' : 'hidden', configurable: true });
    document.dispatchEvent(new Event('visibilitychange'));
  }, shown);
  const ended = Promise.race([
    page.waitForEvent('requestfailed', isStream),
    page.waitForEvent('requestfinished', isStream),
  ]);
  await show(false);
  await ended;
  const opened = page.waitForEvent('request', isStream);
  await show(true);
  await opened;
  assert(await page.isVisible('#main'), 'the page is gone');
}

async function framing({ base, browser, storage, assert }) {
  const paths = ['/console', '/console/login', '/console/mails', '/', '/verify?token=x', '/reset?token=x'];
  const frames = ['own', ...paths.map(path => base + path)].map(url => `<iframe src="${url}"></iframe>`).join('');
  const other = createServer((request, answer) => {
    answer.setHeader('content-type', 'text/html').end(request.url === '/own' ? '<p>own' : `<!doctype html>${frames}`);
  });
  await new Promise(done => other.listen(0, '127.0.0.1', done));
  const context = await browser.newContext({ storageState: storage });
  const page = await context.newPage();
  await page.goto(`http://127.0.0.1:${other.address().port}/`, { waitUntil: 'load' });
  const [own, ...ours] = page.mainFrame().childFrames();
  assert(own.url().endsWith('/own') && ours.length === paths.length, 'the other site shows no frames at all');
  for (const [n, path] of paths.entries()) {
    assert(ours[n].url().startsWith('chrome-error:'), `${path} is shown in a frame of another site: ${ours[n].url()}`);
  }
  await context.close();
  other.close();
}

export default async tools => {
  await hidden(tools);
  await framing(tools);
};
