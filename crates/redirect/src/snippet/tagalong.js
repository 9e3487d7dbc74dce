// Keeps the affiliate of a visit for the form at its end. The README says how to use it.
(() => {
  'use strict';
  const script = document.currentScript, { dataset } = script;
  const words = (text) => (text || '').split(/\s+/).filter(Boolean);
  const names = words(dataset.param || 'aff');
  const fields = { aff: dataset.field || names[0], click: dataset.click || 'click' };
  const shapes = { aff: /^[\w~][\w.~-]{0,63}$/, click: /^[\da-f-]{36}$/i };
  const keys = Object.keys(fields);
  const hosts = [location.host, ...words(dataset.links)];

  // One visit in one tab; where storage is refused, one page.
  let visit = {};
  try { visit = JSON.parse(sessionStorage.getItem('tagalong')) || {}; } catch {}
  const keep = (news) => {
    visit = { ...visit, ...news };
    try { sessionStorage.setItem('tagalong', JSON.stringify(visit)); } catch {}
  };

  // Of the fragment too: `#aff=max`, `#/page?aff=max`.
  const query = new URLSearchParams(location.search);
  const hash = new URLSearchParams(location.hash.replace(/^#(.*\?)?/, ''));
  const read = (name) => query.get(name) || hash.get(name) || '';
  const find = (key, names) => names.map(read).find((text) => shapes[key].test(text)) || '';
  const aff = find('aff', names), click = find('click', [fields.click]);
  const fresh = aff && (aff !== visit.aff || click && click !== visit.click);
  if (fresh) keep({ aff, click });

  const fill = () => {
    for (const key of keys) {
      if (!visit[key]) continue;
      for (const field of document.getElementsByName(fields[key])) {
        if (field.matches('input')) field.value = visit[key];
      }
    }
    if (dataset.links === undefined || !visit.aff) return;
    for (const link of document.links) {
      if (!/^https?:$/.test(link.protocol) || !hosts.includes(link.host)) continue;
      const search = new URLSearchParams(link.search);
      if (search.has(names[0])) continue;
      search.set(names[0], visit.aff);
      if (visit.click) search.set(fields.click, visit.click);
      link.search = search;
    }
  };
  // Forms and links may come late: again before they are used.
  for (const event of ['DOMContentLoaded', 'focusin', 'pointerdown', 'submit']) {
    document.addEventListener(event, fill, true);
  }
  fill();

  // Who came through Tagalong has a click. Who did not, the platform sent here.
  if (!dataset.product || !fresh || click) return;
  const consents = dataset.consent === '1' && !navigator.globalPrivacyControl;
  const body = new URLSearchParams({ product: dataset.product, affiliate: aff });
  if (consents) body.set('consent', 1);
  for (let n = 1; n < 6; n++) if (read('sub' + n)) body.set('sub' + n, read('sub' + n));
  fetch(new URL('touch', script.src), {
    method: 'POST', body, keepalive: true, credentials: consents ? 'include' : 'omit',
  }).then((answer) => answer.json()).then((made) => {
    if (visit.aff === aff && made.click) keep({ click: made.click });
    fill();
  }).catch(() => {});
})();
