import { defineConfig } from "vitest/config";

// For machines that have a lot to do: nothing is measured.
const shared = { testTimeout: 60_000, hookTimeout: 60_000 };
/** Everything that says what connections do, whatever carries them. */
const OVER_EVERYTHING = [
  "calls",
  "lifecycle",
  "put_back",
  "recovery",
  "shapes",
  "silence",
  "subscribing",
  "subscribing_where",
  "too_big",
].map((name) => `tests/${name}.test.ts`);

export default defineConfig({
  test: {
    // Each file has a server of its own, and machines have few cores.
    maxWorkers: 2,
    projects: [
      {
        test: {
          ...shared,
          name: "WebSocket",
          include: ["tests/**/*.test.ts"],
          provide: { transport: "auto" },
          typecheck: { enabled: true, include: ["tests/**/*.test-d.ts"], tsconfig: "tsconfig.json" },
        },
      },
      {
        test: {
          ...shared,
          name: "server-sent events",
          include: OVER_EVERYTHING,
          provide: { transport: "sse" },
        },
      },
    ],
  },
});
