// How many bytes the client costs a page: what was built for users, bundled as a page's own build does it (minified, with
// esbuild's default names for files) and gzipped. Names of properties stay as they are, since no such build may change them.
// `client` is `createClient` and what it needs; what is loaded only where no WebSocket gets through is a file of its own.
// Fails above a bound; what has none is printed to be known (docs/typescript.md says it).
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const MAX_BYTES = { client: 8 * 1024, fallback: 2.5 * 1024 };

/** Return the bytes of each file of a page that has these lines, by its name. */
async function sizes(contents, splitting) {
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: ".", sourcefile: "client.js" },
    bundle: true,
    splitting,
    minify: true,
    format: "esm",
    target: "es2022",
    platform: "browser",
    outdir: ".",
    entryNames: "client",
    write: false,
  });
  return Object.fromEntries(
    outputFiles.map(({ path, contents }) => [
      path.replace(/^.*\/|(-\w+)?\.js$/g, ""),
      gzipSync(contents, { level: 9 }).length,
    ]),
  );
}

const INDEX = '"./dist/index.js"';
const CREATE = `export { createClient } from ${INDEX};`;
const files = await sizes(CREATE, true);
// A third file would be one more that every page loads.
if (Object.keys(files).sort().join() !== Object.keys(MAX_BYTES).join())
  throw new Error(`the client is in other files: ${Object.keys(files)}`);
for (const [name, bytes] of Object.entries(files)) {
  console.log(`${name}: ${bytes} bytes minified and gzipped, of at most ${MAX_BYTES[name]}`);
  if (bytes > MAX_BYTES[name]) process.exitCode = 1;
}

const others = {
  "with where": [`export { createClient, where } from ${INDEX};`, true],
  "with MessagePack's codec": [`${CREATE} export * from "./dist/msgpack.js";`, true],
  "in one file with the fallback": [CREATE, false],
  "all exports in one file": [`export * from ${INDEX}; export * from "./dist/msgpack.js";`, false],
};
for (const [what, page] of Object.entries(others))
  console.log(`client ${what}: ${(await sizes(...page)).client} bytes`);
