/** @jsxImportSource preact */
import { render } from 'preact';
import { Session } from './store/session.js';
import { App } from './ui/app.js';

const root = document.getElementById('app');
if (root !== null) {
  root.replaceChildren();
  render(<App session={new Session()} />, root);
}
