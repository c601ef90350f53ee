import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url));

export default defineConfig({
  resolve: {
    // Their sources, so that nothing has to be built before.
    alias: {
      "@ringcast/client": path("../typescript/src/index.ts"),
      "@ringcast/react": path("../react/src/index.ts"),
    },
    // The hooks have another React beside them, for their own tests.
    dedupe: ["react", "react-dom"],
  },
  build: {
    outDir: path("../../python/ringcast/demo/page"),
    emptyOutDir: true,
    // Nothing inside the page: its policy allows files of this server alone.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  // `npm run dev`, beside a `ringcast demo` on its usual port.
  server: { proxy: { "/connect": { target: "http://127.0.0.1:8080", ws: true } } },
  test: {
    environment: "happy-dom",
    // The tests share what those of the hooks have.
    server: { deps: { inline: [/clients/] } },
    setupFiles: ["tests/support/complaints.ts"],
    // For machines that have a lot to do: nothing is measured.
    testTimeout: 120_000,
    hookTimeout: 60_000,
  },
});
