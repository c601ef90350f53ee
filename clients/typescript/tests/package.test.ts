/** The package as it is published: built, without dependencies, loadable by plain Node. */

import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const read = (path: string) => JSON.parse(readFileSync(new URL(path, import.meta.url), "utf8"));

test("it has no dependency, and its lock names no addresses to download from", () => {
  const manifest = read("../package.json");
  expect(Object.keys(manifest).filter((name) => /^(peer|optional)?dependencies$/i.test(name))).toEqual([]);
  for (const version of Object.values(manifest.devDependencies)) expect(version).toMatch(/^\d+\.\d+\.\d+$/);
  expect(JSON.stringify(read("../package-lock.json"))).not.toContain('"resolved"');
});

test("what is built can be imported, and exports what the guide uses", () => {
  const program =
    'import * as client from "@ringcast/client"; import * as codec from "@ringcast/client/msgpack";' +
    "console.log(JSON.stringify([Object.keys(client), Object.keys(codec)]))";
  const cwd = fileURLToPath(new URL("..", import.meta.url));
  const printed = execFileSync(process.execPath, ["--input-type=module", "-e", program], {
    cwd,
    encoding: "utf8",
  });
  expect(JSON.parse(printed)).toEqual([["RingcastError", "createClient", "json", "where"], ["msgpack"]]);
});
