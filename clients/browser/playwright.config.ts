/** How the tests run: with the Chromium of this machine, two files at a time. */

import { defineConfig } from "@playwright/test";
import { chromium } from "./support/chromium.mjs";

export default defineConfig({
  testDir: "tests",
  testMatch: "**/*.test.ts",
  outputDir: "dist/results",
  globalSetup: "./support/build_stage.ts",
  // Each file has a server and a browser of its own, and machines have few cores.
  workers: 2,
  forbidOnly: true,
  retries: 0,
  reporter: [["list"]],
  // For machines that have a lot to do: nothing is measured.
  timeout: 120_000,
  expect: { timeout: 30_000 },
  use: {
    launchOptions: { executablePath: chromium() },
    viewport: { width: 1280, height: 900 },
    // What moves all the time keeps a machine busy that draws without a graphics card.
    contextOptions: { reducedMotion: "reduce" },
    screenshot: "only-on-failure",
  },
});
