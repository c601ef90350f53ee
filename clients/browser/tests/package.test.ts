/** The package itself: its versions are exact, and its lock names no addresses to download from. */

import { readFileSync } from "node:fs";
import { expect, test } from "@playwright/test";

const read = (path: string) => JSON.parse(readFileSync(new URL(path, import.meta.url), "utf8"));

test("versions are exact, and the lock leaves it open where they come from", () => {
  const versions: string[] = Object.values(read("../package.json").devDependencies);
  expect(versions.length).toBeGreaterThan(0);
  for (const version of versions) expect(version).toMatch(/^\d+\.\d+\.\d+$/);
  expect(JSON.stringify(read("../package-lock.json"))).not.toContain('"resolved"');
});
