import { defineConfig } from 'vite';

/** The service of examples/express. */
const API_URL = process.env.API_URL ?? 'http://127.0.0.1:8001';

export default defineConfig({
  server: { proxy: { '/config': API_URL, '/files': API_URL, '/token': API_URL } },
});
