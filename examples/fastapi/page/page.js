import './headway/element.js';

const form = document.querySelector('form');
const status = document.querySelector('[role=status]');

form.addEventListener('submit', async (event) => {
  event.preventDefault();
  status.textContent = '';
  // While it is sent somebody may choose another one.
  const { name } = form.elements.document.files[0];
  const answer = await fetch('documents', { method: 'POST', body: new FormData(form) });
  const { job, detail } = await answer.json();
  if (!answer.ok) {
    status.textContent = detail;
    return;
  }
  const bar = document.createElement('headway-progress');
  bar.setAttribute('job', job);
  bar.setAttribute('src', document.documentElement.dataset.edge);
  bar.setAttribute('label', name);
  bar.addEventListener('end', ({ detail: { result } }) => {
    if (result) status.textContent = `${result.words} words on ${result.pages} pages`;
  });
  document.querySelector('main').prepend(bar);
});
