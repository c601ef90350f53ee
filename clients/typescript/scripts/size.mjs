// How many bytes the client costs a page: bundled from its sources, minified and gzipped, as the page's own build does it.
// Names of properties stay as they are, since no such build may change them. What is loaded only where no WebSocket gets
// through is a file of its own, with a bound of its own. Fails above a bound.
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const MAX_BYTES = { client: 8 * 1024, fallback: 2.5 * 1024 };

const { outputFiles } = await build({
  stdin: {
    contents: 'export { createClient, RingcastError } from "./src/index.ts";',
    resolveDir: ".",
    sourcefile: "client.js",
  },
  bundle: true,
  splitting: true,
  minify: true,
  format: "esm",
  target: "es2022",
  platform: "browser",
  outdir: ".",
  entryNames: "client",
  chunkNames: "[name]",
  write: false,
});
// A third file would be one more that every page loads.
const names = outputFiles.map(({ path }) => path.replace(/^.*\/|\.js$/g, "")).sort();
if (names.join() !== Object.keys(MAX_BYTES).join()) throw new Error(`the client is in other files: ${names}`);
for (const { path, contents } of outputFiles) {
  const name = path.replace(/^.*\/|\.js$/g, "");
  const bytes = gzipSync(contents, { level: 9 }).length;
  console.log(
    `${name}: ${bytes} bytes minified and gzipped (${contents.length} minified), of at most ${MAX_BYTES[name]}`,
  );
  if (bytes > MAX_BYTES[name]) process.exitCode = 1;
}
