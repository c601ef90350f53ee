/** Builds the page of the hooks' tests, once, before all tests: from the sources of the client and of the hooks. */

import { fileURLToPath } from "node:url";
import { build } from "vite";

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url));

/** Where the page is then. */
export const STAGE = path("../dist/stage");

export default async function buildStage(): Promise<void> {
  await build({
    root: path("../stage"),
    configFile: false,
    logLevel: "warn",
    // The React of developers, in which StrictMode does everything twice.
    define: { "process.env.NODE_ENV": JSON.stringify("development") },
    resolve: {
      alias: {
        "@ringcast/client": path("../../typescript/src/index.ts"),
        "@ringcast/react": path("../../react/src/index.ts"),
      },
      // The hooks have another React beside them, for their own tests.
      dedupe: ["react", "react-dom"],
    },
    build: { outDir: STAGE, emptyOutDir: true, minify: false, modulePreload: { polyfill: false } },
    base: "./",
    // In parts, as the page: what a client loads only where no WebSocket gets through is one.
    worker: { format: "es" },
  });
}
