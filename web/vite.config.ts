import { defineConfig } from 'vite';

// The edge serves what comes of it at `/`, also where a proxy puts a path in front of that: so every address is relative.
export default defineConfig({
  base: './',
  build: {
    outDir: '../dist/web',
    emptyOutDir: true,
    // Nothing inline: the page's policy forbids it.
    assetsInlineLimit: 0,
    // What is bundled says whose it is.
    license: true,
    modulePreload: { polyfill: false },
    sourcemap: false,
    target: 'es2022',
    reportCompressedSize: false,
  },
  publicDir: false,
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
});
