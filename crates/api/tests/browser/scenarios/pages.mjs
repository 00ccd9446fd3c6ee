// The pages for everybody: the rules of passwords say what the server says, with and without JavaScript; previews; the cache.
const token = 'a-token-that-nobody-has';

// What the server says of a password, as the list of rules names it.
async function verdict(page, base, password) {
  const answer = await page.request.post(`${base}/reset`, { form: { token, password } });
  const text = await answer.text();
  if (answer.status() === 400) return []; // the password is taken, the token is not
  if (answer.status() !== 422) throw new Error(`${answer.status()} for a password`);
  const complaint = /<p id="complaint"[^>]*>([^<]*)/.exec(text)[1];
  return [complaint.includes('8 characters') ? 'length' : complaint.includes('1024') ? 'bytes' : 'common'];
}

async function passwords({ base, open, look, check, assert }) {
  const page = await open({ storageState: undefined });
  await page.goto(`${base}/reset?token=${token}`);
  const states = () =>
    page.$$eval('#rules li', items => Object.fromEntries(items.map(item => [item.dataset.rule, item.dataset.state ?? ''])));
  assert(Object.values(await states()).every(state => state === ''), 'an empty field has a verdict');
  for (const password of ['short', 'battery staple', 'Password123!', 'p\uff41ssword', 'aaaaaaaa', '\u00e9'.repeat(600), 're\u0301sume\u0301s!', 'EXAMHALL 2026']) {
    await page.fill('#password', password);
    const unmet = Object.entries(await states()).filter(([, state]) => state === 'unmet').map(([rule]) => rule);
    const said = await verdict(page, base, password);
    // The server names the first fault only.
    assert(said.every(rule => unmet.includes(rule)) && unmet.length > 0 === said.length > 0, `${password}: ${unmet}, and the server: ${said}`);
  }
  assert(await page.isHidden('[data-rule=bytes]'), 'a limit is shown that is not reached');

  await page.fill('#password', 'password1');
  await page.click('.peek');
  assert(await page.getAttribute('#password', 'type') === 'text', 'the password is not shown');
  assert(await page.textContent('.peek') === 'Hide password', 'the button does not say what it does next');
  await page.keyboard.press('Enter'); // the button has the focus
  assert(await page.getAttribute('#password', 'type') === 'password', 'the keyboard does not hide it again');
  await look(page, 'public-reset-typed', 'light');
  await page.click('button[type=submit]');
  assert((await page.textContent('#complaint')).includes('most common'), 'the complaint is missing');
  await check(page, 'a refused password');
  await look(page, 'public-reset-refused', 'light');
  await page.goto(`${base}/verify`);
  await check(page, 'a bad link');
  await look(page, 'public-bad-link', 'light');

  const plain = await open({ storageState: undefined, javaScriptEnabled: false, locale: 'de-CH' });
  await plain.goto(`${base}/reset?token=${token}`);
  assert(await plain.isHidden('.peek') && await plain.isVisible('text=Mindestens 8 Zeichen'), 'without JavaScript');
  await plain.fill('#password', 'password1');
  await plain.click('button[type=submit]');
  assert((await plain.textContent('#complaint')).includes('häufigsten'), 'without JavaScript no complaint');
}

async function front({ base, open, assert }) {
  const page = await open({ storageState: undefined, locale: 'de-DE' });
  await page.goto(base);
  assert(await page.getAttribute('html', 'lang') === 'de', 'not in the language of the reader');
  for (const [name, title] of [['Konsole', 'Log in'], ['API-Dokumentation', '']]) {
    const link = page.getByRole('link', { name });
    const answer = await page.request.get(new URL(await link.getAttribute('href'), page.url()).href);
    assert(answer.ok() && (await answer.text()).includes(title), `${name} leads nowhere`);
  }
}

async function preview({ base, open, assert }) {
  const page = await open();
  await page.goto(`${base}/console/preview`);
  await page.selectOption('#mail', 'result');
  await page.selectOption('#language', 'de');
  await page.click('text=Show');
  const frame = page.frameLocator('iframe.mail');
  await frame.getByText('Ada Lovelace').waitFor();
  assert((await page.textContent('pre')).includes('83,75'), 'the text is not that of the language');
  assert((await page.textContent('.facts')).includes('List-Unsubscribe-Post'), 'a header is missing');
  assert(await page.getAttribute('iframe.mail', 'sandbox') === '', 'the frame may do something');
}

// An exam that opens so many seconds from now, of the administrator.
async function exam({ base, env }, title, seconds) {
  const call = async (method, path, body) => {
    const headers = { authorization: `Bearer ${env.token}`, 'content-type': 'application/json' };
    const answer = await fetch(`${base}/api/v1${path}`, { method, headers, body: JSON.stringify(body) });
    if (!answer.ok) throw new Error(`${answer.status} for ${method} ${path}`);
    return answer.json();
  };
  const at = span => new Date(Date.now() + span * 1000).toISOString();
  const times = { opensAt: at(seconds), closesAt: at(seconds + 3600) };
  const { id } = await call('POST', '/exams', { title, description: '', durationMinutes: 30, ...times });
  await call('PUT', `/exams/${id}/questions`, { questions: [{ type: 'trueFalse', text: 'Is it?', correct: true }] });
  await call('POST', `/exams/${id}/publish`);
}

async function cache(tools) {
  const { base, env, open, look, check, assert } = tools;
  await exam(tools, 'Algebra, tomorrow', 86_400);
  await exam(tools, 'Geometry, at once', 30);
  const page = await open();
  await page.goto(`${base}/console/cache?exam=${env.exam}`);
  const row = title => page.locator('tr', { hasText: title });
  await row('Geometry').getByText('warm', { exact: true }).waitFor(); // without a reload
  assert((await row('Algebra').textContent()).includes('will be loaded'), 'an exam of tomorrow is not announced');
  const keys = await page.locator('table').last().locator('tbody tr').count();
  assert(keys === 4, `${keys} keys of an exam with two questions`);
  await check(page, 'the keys of an exam');
  await look(page, 'cache-exam', 'light');
  await page.click(`text=Invalidate ${keys} keys`);
  assert((await page.textContent('[role=status]')).includes(`${keys} of ${keys} keys`), 'the answer does not say how many');
  assert(page.url().endsWith(env.exam), 'the exam is not shown any more');
  await page.goto(`${base}/console/audit`);
  assert((await page.textContent('tbody tr')).includes(`exam:${env.exam}`), 'the audit trail does not know it');
  await page.goto(`${base}/console/cache?exam=nonsense`);
  assert(await page.isVisible('#complaint'), 'nonsense is not complained about');
  await page.fill('#exam', 'half an id');
  const update = page.waitForResponse(answer => answer.url() === page.url());
  for (const action of ['pause', 'resume']) {
    await fetch(`${base}/api/v1/queue/${action}`, { method: 'POST', headers: { authorization: `Bearer ${env.token}` } });
  }
  await (await update).finished();
  await page.evaluate(() => new Promise(shown => requestAnimationFrame(() => requestAnimationFrame(shown))));
  assert(await page.inputValue('#exam') === 'half an id', 'an update takes away what is typed');
}

export default async tools => {
  await passwords(tools);
  await front(tools);
  await preview(tools);
  await cache(tools);
};
