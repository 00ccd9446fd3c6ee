// Says whether the page is live. Everything else is htmx's, which is loaded after this.
(() => {
  const state = document.getElementById('live-state');
  const live = document.getElementById('live');
  if (!state || !live) return;
  const show = (on, text) => {
    state.dataset.state = on ? 'on' : 'off';
    state.textContent = text;
  };
  live.addEventListener('htmx:sse:after:connection', () => show(true, 'Live'));
  live.addEventListener('htmx:sse:error', () => show(false, 'Not live: the connection is lost, trying again'));
  live.addEventListener('htmx:sse:close', () => show(false, 'Not live: reload the page'));
})();
