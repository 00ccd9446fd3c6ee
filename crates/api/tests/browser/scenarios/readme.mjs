// The queue fills: the overview shows it without a reload. What it shows then is the picture of the README.
export default async ({ base, env, open, look, assert }) => {
  const send = async mail => {
    const headers = { authorization: `Bearer ${env.token}`, 'content-type': 'application/json' };
    const answer = await fetch(`${base}/api/v1/emails`, { method: 'POST', headers, body: JSON.stringify({ html: '<p>Hello</p>', ...mail }) });
    assert(answer.status === 202, `${answer.status} for a mail`);
  };
  const page = await open();
  await page.goto(`${base}/console`);
  await page.waitForSelector('#live-state[data-state=on]');
  const loaded = await page.evaluate(() => performance.timeOrigin);
  for (let n = 1; n <= 8; n++) await send({ to: `class${n}@example.com`, subject: `Timetable of class ${n}`, priority: 1 + n });
  for (let n = 1; n <= 3; n++) await send({ to: `class${n}@example.com`, subject: 'Reminder', delayMs: n * 3_600_000 });
  await page.waitForFunction(() => [...document.querySelectorAll('.figures dt')]
    .some(name => name.innerText === 'prioritized' && name.nextElementSibling.innerText === '8'));
  assert(await page.evaluate(() => performance.timeOrigin) === loaded, 'the page was loaded again');
  await look(page, 'readme', 'light');
};
