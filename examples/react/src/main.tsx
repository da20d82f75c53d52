import { createProgressClient } from '@headway/client';
import { HeadwayProvider } from '@headway/react';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { App } from './app.js';

const { edge } = (await (await fetch('/config')).json()) as { edge: string };
const client = createProgressClient({
  url: edge,
  getToken: async () => {
    const answer = await fetch('/token');
    return answer.ok ? await answer.text() : null;
  },
});
const root = document.getElementById('root');
if (root === null) throw new Error('the page has no #root');
createRoot(root).render(
  <StrictMode>
    <HeadwayProvider client={client}>
      <App />
    </HeadwayProvider>
  </StrictMode>,
);
