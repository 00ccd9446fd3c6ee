// Shows which rules a password meets while it is typed, and lets its owner look at it. The pages work without it, too.
(() => {
  'use strict';

  // As `prepared_password` and `check_password` of examhall-core.
  const prepare = (password) =>
    password.replace(/[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]/g, ' ').normalize('NFC');
  const is = {
    length: (password) => [...prepare(password)].length >= RULES.minChars,
    bytes: (password) => new TextEncoder().encode(prepare(password)).length <= RULES.maxBytes,
    common: (password) => {
      const lower = prepare(password).normalize('NFKC').toLowerCase();
      const stem = lower.replace(/[0-9!-/:-@[-`{-~]+$/, '');
      const letters = [...lower];
      const isOneLetter = letters.slice(1).every((letter) => letter === letters[0]);
      return !(RULES.common.includes(lower) || RULES.stems.includes(stem) || isOneLetter);
    },
  };

  const show = (list, rule, password) => {
    const item = list.querySelector(`[data-rule=${rule}]`);
    const isMet = is[rule](password);
    const state = password === '' ? '' : isMet ? 'met' : 'unmet';
    if (item.dataset.state === state) return;
    item.dataset.state = state;
    if (rule === 'bytes') item.hidden = isMet; // nobody needs to know of it who does not meet it
    item.querySelector('.state')?.remove();
    if (state === '') return;
    const word = document.createElement('span');
    word.className = 'state visually-hidden';
    word.textContent = `: ${list.dataset[state]}`;
    item.append(word);
  };

  const input = document.getElementById('password');
  const list = document.getElementById('rules');
  if (input && list) {
    const follow = () => Object.keys(is).forEach((rule) => show(list, rule, input.value));
    input.addEventListener('input', follow);
    follow();
  }

  const peek = document.querySelector('.peek');
  if (input && peek) {
    const reveal = (isShown) => {
      input.type = isShown ? 'text' : 'password';
      peek.textContent = isShown ? peek.dataset.hide : peek.dataset.show;
    };
    peek.hidden = false;
    peek.addEventListener('click', () => reveal(input.type === 'password'));
    input.form.addEventListener('submit', () => reveal(false)); // browsers remember what fields of text hold
  }
})();
