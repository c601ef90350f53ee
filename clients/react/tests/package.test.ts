/** The package as it is published: built, with React and the client beside it, loadable by plain Node. */
// @vitest-environment node

import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const PACKAGE = join(dirname(fileURLToPath(import.meta.url)), "..");
const read = (path: string) => JSON.parse(readFileSync(join(PACKAGE, path), "utf8"));

test("it needs React and the client, which the application brings along; its lock names no addresses to download from", () => {
  const manifest = read("package.json");
  expect(manifest.peerDependencies).toEqual({
    "@ringcast/client": `^${read("../typescript/package.json").version}`,
    react: "^18.0.0 || ^19.0.0",
  });
  expect(manifest).not.toHaveProperty("dependencies");
  expect(manifest).not.toHaveProperty("optionalDependencies");
  const { "@ringcast/client": client, ...others } = manifest.devDependencies;
  expect(client).toBe("file:../typescript");
  for (const version of Object.values(others)) expect(version).toMatch(/^\d+\.\d+\.\d+$/);
  const locked = Object.values<{ resolved?: string }>(read("package-lock.json").packages);
  const resolved = locked.map((entry) => entry.resolved).filter((place) => place !== undefined);
  expect(resolved.sort()).toEqual(["../typescript", "tests/react-18"]);
});

test("what is built can be imported, and imports nothing else", () => {
  const program = 'import * as hooks from "@ringcast/react"; console.log(JSON.stringify(Object.keys(hooks)))';
  const printed = execFileSync(process.execPath, ["--input-type=module", "-e", program], {
    cwd: PACKAGE,
    encoding: "utf8",
  });
  expect(JSON.parse(printed)).toEqual(["createRingcast"]);
});

test("its archive has the licence, which is the repository's", () => {
  const packed = execFileSync("npm", ["pack", "--dry-run", "--json", "--ignore-scripts"], {
    cwd: PACKAGE,
    encoding: "utf8",
  });
  const paths = JSON.parse(packed)[0].files.map((file: { path: string }) => file.path);
  expect(paths).toContain("LICENSE");
  expect(readFileSync(join(PACKAGE, "LICENSE"), "utf8")).toBe(
    readFileSync(join(PACKAGE, "../../LICENSE"), "utf8"),
  );
});
