// The frame: login, keyboard, live updates, no JavaScript, logout.
export default async ({ base, env, open, assert }) => {
  // Without JavaScript everything works but the updates.
  const plain = await open({ storageState: undefined, javaScriptEnabled: false });
  await plain.goto(`${base}/console/audit`);
  await plain.fill('#email', env.email);
  await plain.fill('#password', 'wrong');
  await plain.click('button[type=submit]');
  assert(await plain.isVisible('#complaint'), 'a wrong password is not complained about');
  await plain.fill('#password', env.password);
  await plain.click('button[type=submit]');
  assert(new URL(plain.url()).pathname === '/console/audit', `the login leads to ${plain.url()}`);

  // The first key leads to the content.
  const page = await open();
  await page.goto(`${base}/console`);
  await page.keyboard.press('Tab');
  assert(await page.evaluate(() => document.activeElement.className) === 'skip', 'Tab does not lead to the skip link');
  await page.keyboard.press('Enter');
  assert(await page.evaluate(() => location.hash) === '#main', 'the skip link does not lead to the content');

  // Something happens: the audit trail shows it without a reload.
  const live = await open();
  await live.goto(`${base}/console/audit`);
  await live.waitForSelector('#live-state[data-state=on]');
  const isPause = () => document.querySelector('tbody tr').innerText.includes('pause');
  assert(!await live.evaluate(isPause), 'the last action was a pause');
  const loaded = await live.evaluate(() => performance.timeOrigin);
  const paused = await fetch(`${base}/api/v1/queue/pause`, { method: 'POST', headers: { authorization: `Bearer ${env.token}` } });
  assert(paused.status === 204, `${paused.status} for the pause`);
  await live.waitForFunction(isPause);
  assert(await live.evaluate(() => performance.timeOrigin) === loaded, 'the page was loaded again');
  await fetch(`${base}/api/v1/queue/resume`, { method: 'POST', headers: { authorization: `Bearer ${env.token}` } });

  // Scripts that come late, one after the other, make a page live, too.
  const slow = await open();
  let wait = 0;
  await slow.route('**/*.js', async route => {
    wait += 300;
    await new Promise(done => setTimeout(done, wait));
    await route.continue();
  });
  await slow.goto(`${base}/console/audit`);
  await slow.waitForSelector('#live-state[data-state=on]', { timeout: 10_000 });
  await slow.context().close();

  // A page that is left open after the logout leads to the login with the next event.
  await plain.click('text=Log out');
  assert(new URL(plain.url()).pathname === '/console/login', `the logout leads to ${plain.url()}`);
};
