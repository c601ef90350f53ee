/** How `make screenshots` runs: the same browser as for the tests, one picture after the other. */

import { defineConfig } from "@playwright/test";
import tests from "./playwright.config.js";

export default defineConfig({
  ...tests,
  testDir: "screenshots",
  testMatch: "*.ts",
  globalSetup: undefined,
  workers: 1,
});
