// Mails: why an address got nothing, one mail, actions on exactly what a search finds, held mails, suppressions, failures.

// The notice of what has happened.
const said = page => page.textContent('[role=status]');

async function call({ base, env, assert }, method, path, body) {
  const headers = { authorization: `Bearer ${env.token}`, 'content-type': 'application/json' };
  const answer = await fetch(`${base}/api/v1${path}`, { method, headers, body: body && JSON.stringify(body) });
  assert(answer.ok, `${answer.status} for ${method} ${path}`);
  return answer.status === 204 ? null : answer.json();
}

// From the overview: one click to search, one to the mail.
async function whyNothing({ base, open, assert }) {
  const page = await open();
  await page.goto(`${base}/console`);
  await page.fill('#q', 'Ada.Gone@example.com');
  await page.click('[role=search] button');
  const notice = await page.textContent('.notice');
  assert(notice.includes('ada.gone@example.com') && notice.includes('no such user'), `the search says ${notice}`);
  assert(await page.locator('tbody tr').count() === 2, 'there are two mails to that address');
  assert(!await page.isVisible('.pager'), 'there may be more mails to that address');
  await page.locator('tbody tr', { hasText: 'Second sitting' }).locator('a').click();
  const mail = await page.textContent('#main');
  for (const text of ['suppressed', 'no such user', 'What to do', 'lift its suppression', 'Committed', 'Queued']) {
    assert(mail.includes(text), `the page of the mail does not say "${text}"`);
  }
  await page.click('text=Body, without its secrets');
  assert((await page.textContent('#main')).includes('Second sitting'), 'the body is not that of the mail');
  await page.click('text=What happened to this mail');
  assert((await page.textContent('#main')).includes('What to do'), 'the body does not lead back');
}

// Each attempt in the server's own words.
async function words({ base, open, assert }) {
  const page = await open();
  await page.goto(`${base}/console/mails?q=dora.later@example.com`);
  await page.locator('tbody a').click();
  const row = await page.locator('tbody tr:has(:text-is("Attempt"))').textContent();
  assert(row.includes('451 4.7.1 greylisted, try again in 5 minutes') && row.includes('127.0.0.1'), `the attempt: ${row}`);
  assert(await page.locator('tbody tr', { hasText: 'Next try' }).count() === 1, 'the next try is missing');
}

async function actions(tools) {
  const { base, open, look, check, assert } = tools;
  const q = 'reason:5.2.2';
  const page = await open();
  await page.goto(`${base}/console/mails?q=${q}`);
  assert(await page.locator('tbody tr').count() === 50, 'a page has 50 mails');
  await page.click('text=Older mails');
  assert(await page.locator('tbody tr').count() === 50, 'the second page has the other 50');
  await page.click('.actions >> text=Retry');
  assert((await page.textContent('h1 + p')).includes('100 mails'), 'the question does not name the number');
  // Meanwhile somebody else retries three.
  for (const { jobId } of (await call(tools, 'GET', `/emails?q=${q}&limit=3`)).items) {
    await call(tools, 'POST', `/emails/${jobId}/retry`);
  }
  await page.getByRole('button', { name: 'Retry 100' }).click();
  assert((await said(page)).includes('97 of 100, 3 had changed'), `the answer: ${await said(page)}`);
  assert(await page.inputValue('#q') === q, 'the filter is gone');
  await check(page, 'the answer to an action');
  await look(page, 'mails-answer', 'light');
  const [last] = (await call(tools, 'GET', '/audit?limit=1')).items.filter(one => one.filter === q);
  assert(last?.matched === 100 && last.affected === 97, 'the audit trail has other numbers');

  // What is delayed is sent now.
  await page.goto(`${base}/console/mails?q=state:delayed subject:Tomorrow`);
  await page.click('.actions >> text=Send now');
  await page.getByRole('button', { name: 'Send now 1' }).click();
  assert((await said(page)).includes('1 of 1'), `promoted: ${await said(page)}`);
}

async function held({ base, open, env, assert }) {
  const page = await open();
  await page.goto(`${base}/console/mails/${env.mails.held}`);
  await page.click('.actions >> text=Drop');
  await page.getByRole('button', { name: 'Drop 1' }).click();
  assert((await said(page)).includes('1 of 1'), `dropped: ${await said(page)}`);
  await page.goto(`${base}/console/held`);
  assert(await page.locator('tbody tr').count() === 2, 'two mails wait for a decision');
  await page.click('.actions >> text=Release');
  assert((await page.textContent('.notice')).includes('twice'), 'nothing says that they may arrive twice');
  await page.getByRole('button', { name: 'Release 2' }).click();
  assert((await said(page)).includes('2 of 2'), `released: ${await said(page)}`);
  assert(new URL(page.url()).pathname === '/console/held', `the answer is at ${page.url()}`);
  assert(await page.isVisible('.empty'), 'released mails are still held');
}

async function suppressions({ base, open, assert }) {
  const page = await open();
  await page.goto(`${base}/console/suppressions`);
  const row = address => page.locator('tbody tr', { hasText: address });
  assert((await row('ada.gone').textContent()).includes('550 5.1.1 no such user'), 'the reason is missing');
  await row('ada.gone').getByText('the mail').click();
  assert((await page.textContent('h1')).includes('Result of History'), 'the link leads to another mail');
  await page.goBack();
  await row('ada.gone').getByRole('button', { name: 'Lift' }).click();
  assert((await said(page)).includes('Mails go to this address again'), `lifted: ${await said(page)}`);
  assert(await row('ada.gone').count() === 0, 'the address is still there');
  await page.fill('#address', 'Zoe@Example.com');
  await page.fill('#reason', 'asked for it by phone');
  await page.getByRole('button', { name: 'Suppress' }).click();
  assert((await row('zoe@example.com').textContent()).includes('asked for it by phone'), 'the address was not added');
  await page.click('.tabs >> text=Held');
  assert(await page.isVisible('.empty'), 'nothing is held');
}

async function failures({ base, open, assert }) {
  const page = await open();
  await page.goto(`${base}/console/failures`);
  const group = page.locator('tbody tr', { hasText: '5.1.1' });
  await group.locator('td a.small >> nth=0').click();
  assert(new URL(page.url()).pathname.startsWith('/console/mails/'), 'the sample leads elsewhere');
  await page.goBack();
  await group.getByRole('link', { name: 'Remove' }).click();
  await page.click('button.danger');
  assert((await said(page)).includes('3 mails removed'), `removed: ${await said(page)}`);
  assert(new URL(page.url()).pathname === '/console/failures', `the answer is at ${page.url()}`);
  const lost = page.locator('tbody tr', { hasText: '5.4.4' });
  await lost.getByRole('link', { name: 'Retry' }).click();
  assert((await page.textContent('h1')).includes('2 mails'), 'the question does not name the number');
  await page.getByRole('button', { name: 'Retry' }).click();
  assert((await said(page)).includes('2 mails retried'), `retried: ${await said(page)}`);
  assert(await lost.getByRole('link', { name: 'Retry' }).count() === 0, 'what is retried is still failed');
}

// Charts and mailers have something to show.
async function figures({ base, open, assert }) {
  const page = await open();
  await page.goto(`${base}/console/charts`);
  assert((await page.locator('svg.chart path.sent').first().getAttribute('d')).length > 100, 'the chart is empty');
  await page.goto(`${base}/console/mailers`);
  const main = await page.textContent('#main');
  for (const text of ['mail-1', 'mail-2', 'circuit open', '451 4.7.1', '14/s']) assert(main.includes(text), `no ${text}`);
}

export default async tools => {
  await whyNothing(tools);
  await words(tools);
  await actions(tools);
  await held(tools);
  await suppressions(tools);
  await failures(tools);
  await figures(tools);
  // Other scenarios count what waits.
  await call(tools, 'POST', '/emails/actions', { action: 'remove', q: 'state:prioritized' });
};
