import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url));
/** The sources that the other client's tests use, and so its classes. */
const client = { find: "@ringcast/client", replacement: path("../typescript/src/index.ts") };
const shared = {
  environment: "happy-dom",
  setupFiles: ["tests/support/complaints.ts"],
  // For machines that have a lot to do: nothing is measured.
  testTimeout: 120_000,
  hookTimeout: 60_000,
};
/** Everything that says how React is used, which differs between its versions. */
const OLDEST = ["rendering", "server_rendering", "sharing", "events", "latest"].map(
  (name) => `tests/${name}.test.tsx`,
);
const TESTING = "@testing-library/react";

export default defineConfig({
  test: {
    // Each file has a server of its own, and machines have few cores.
    maxWorkers: 2,
    projects: [
      {
        resolve: { alias: [client] },
        test: {
          ...shared,
          name: "react 19",
          include: ["tests/**/*.test.{ts,tsx}"],
          typecheck: { enabled: true, include: ["tests/**/*.test-d.ts"], tsconfig: "tsconfig.json" },
        },
      },
      {
        resolve: {
          alias: [
            client,
            { find: /^(react|react-dom)($|\/)/, replacement: path("tests/react-18/node_modules/$1$2") },
            // The form of it that can be given another React.
            { find: TESTING, replacement: path(`node_modules/${TESTING}/dist/${TESTING}.esm.js`) },
          ],
        },
        test: {
          ...shared,
          name: "react 18",
          include: OLDEST,
          server: { deps: { inline: [new RegExp(TESTING)] } },
        },
      },
    ],
  },
});
