'use strict';
// Draws the overlay on a circle, in the order of the nodes, and plays the messages of a search on it.
for (const section of document.querySelectorAll('.overlay')) {
  const data = JSON.parse(section.querySelector('script[type="application/json"]').textContent);
  const canvas = section.querySelector('canvas'), pen = canvas.getContext('2d');
  const choice = section.querySelector('select'), slider = section.querySelector('input');
  const play = section.querySelector('.play'), step = section.querySelector('.step'), back = section.querySelector('.back');
  const told = section.querySelector('.told');
  const count = data.edges.length, size = canvas.width = canvas.height = 920, middle = size / 2, radius = middle - 24;
  const at = node => { const turn = 2 * Math.PI * node / count - Math.PI / 2;
    return [middle + radius * Math.cos(turn), middle + radius * Math.sin(turn)]; };
  const colour = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  let steps = [], timer = null;
  const line = (from, to) => { const [a, b] = [at(from), at(to)];
    pen.beginPath(); pen.moveTo(...a); pen.quadraticCurveTo(middle, middle, ...b); pen.stroke(); };
  const draw = () => {
    pen.clearRect(0, 0, size, size);
    pen.strokeStyle = colour('--edge'); pen.lineWidth = 1;
    // So many lines are seen as a cloud: a part of them tells as much.
    const all = data.edges.reduce((sum, edges) => sum + edges.length, 0), keep = Math.max(1, Math.ceil(all / 5000));
    let n = 0;
    data.edges.forEach((edges, node) => edges.forEach(other => { if (n++ % keep === 0) line(node, other); }));
    data.states.forEach((state, node) => { const [x, y] = at(node);
      pen.fillStyle = colour(state === 2 ? '--bad' : state === 1 ? '--bar' : '--line');
      pen.fillRect(x - 1.5, y - 1.5, 3, 3); });
    const done = Number(slider.value);
    steps.slice(0, done).forEach((message, index) => {
      pen.globalAlpha = message.came_us === null ? .25 : .35 + .65 * (index + 1) / done;
      pen.strokeStyle = colour(message.came_us === null ? '--bad' : '--hot'); pen.lineWidth = index + 1 === done ? 3 : 1.2;
      line(message.from, message.to); });
    pen.globalAlpha = 1;
    const search = data.searches[choice.value];
    if (search) { const [x, y] = at(search[0]); pen.fillStyle = colour('--good');
      pen.beginPath(); pen.arc(x, y, 7, 0, 7); pen.fill(); }
    const last = steps[done - 1];
    told.textContent = last ? `Message ${done} of ${steps.length}, after ${(last.left_us / 1000).toFixed(1)} ms: `
      + `from node ${last.from} to node ${last.to}` + (last.came_us === null ? ', which never came.' : '.')
      : `${steps.length} messages. The searching node is the large dot.`; };
  const stop = () => { clearInterval(timer); timer = null; play.textContent = 'Play'; };
  const move = to => { slider.value = Math.max(0, Math.min(steps.length, to)); draw(); };
  const choose = () => { stop(); steps = data.steps.filter(message => message.search === Number(choice.value));
    slider.max = steps.length; move(0); };
  data.searches.forEach((search, index) => choice.append(new Option(
    `search ${index}: node ${search[0]}, ` + (search[2] ? `found after ${search[3]} hops, ${search[4].toFixed(0)} ms` : 'not found'), index)));
  choice.addEventListener('change', choose);
  slider.addEventListener('input', () => { stop(); draw(); });
  step.addEventListener('click', () => { stop(); move(Number(slider.value) + 1); });
  back.addEventListener('click', () => { stop(); move(0); });
  play.addEventListener('click', () => { if (timer) { stop(); return; }
    if (Number(slider.value) >= steps.length) move(0);
    play.textContent = 'Pause';
    const pace = matchMedia('(prefers-reduced-motion: reduce)').matches ? 400 : Math.max(16, Math.min(200, 8000 / (steps.length || 1)));
    timer = setInterval(() => { if (Number(slider.value) >= steps.length) stop(); else move(Number(slider.value) + 1); }, pace); });
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', draw);
  choose();
}
