// How many bytes the client costs a page: bundled from its sources, minified and gzipped, as the page's own build does it.
// Names of properties stay as they are, since no such build may change them. Fails above the bound.
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const MAX_BYTES = 8 * 1024;

const { outputFiles } = await build({
  stdin: { contents: 'export { createClient, RingcastError } from "./src/index.ts";', resolveDir: "." },
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  platform: "browser",
  write: false,
});
const code = outputFiles[0].contents;
const bytes = gzipSync(code, { level: 9 }).length;
console.log(`${bytes} bytes minified and gzipped (${code.length} minified), of at most ${MAX_BYTES}`);
if (bytes > MAX_BYTES) process.exit(1);
