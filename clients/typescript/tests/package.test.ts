/** The package as it is published: built, without dependencies, loadable by plain Node. */

import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { decode, encode } from "@msgpack/msgpack";
import { expect, test } from "vitest";
import { WebSocket } from "ws";
import type * as Client from "../src/index.js";
import type * as MessagePack from "../src/msgpack.js";
import { failure, until, useWorld } from "./support/world.js";

const world = useWorld();

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

test.each(["websocket", "sse", "msgpack"])("what is built does what the sources do: %s", async (way) => {
  // Not what the compiler looks for: it is there after `npm run build` alone.
  const built = (name: string) => import(new URL(`../dist/${name}.js`, import.meta.url).href);
  const { createClient, where, RingcastError }: typeof Client = await built("index");
  const { msgpack }: typeof MessagePack = await built("msgpack");
  const options: Partial<Client.ClientOptions> =
    way === "msgpack" ? { codec: msgpack({ encode, decode }) } : { transport: way as "websocket" | "sse" };
  const client = createClient({ ...options, url: world.network.url, WebSocket, reconnectFirstMs: 20 });
  const connection = client.actor("feed").create(world.key).connect();
  const items: number[] = [];
  const told: string[] = [];
  connection.on("item", (item) => items.push(item));
  for (const name of ["connected", "disconnected", "reconnected", "replayed"])
    connection.on(name, () => told.push(name));
  const errors: any[] = [];
  connection.on("error", (error) => errors.push(error));
  const stream = connection.stream("item", where({ no_field: 1 }));
  await connection.ready();
  await connection.emit(2);
  world.network.cut();
  await until(() => connection.status === "reconnecting");
  const waiting = connection.emit(1);
  world.network.restore();
  await waiting;
  expect(await client.actor("feed").get(world.key).add(2)).toBe(2);
  await until(() => items.length === 3);
  expect(told).toEqual(["connected", "disconnected", "reconnected", "replayed"]);
  expect(connection.position.offset).toBeGreaterThan(2);
  // This actor does not declare what its events have.
  expect(errors[0]).toMatchObject({ code: "invalid_filter", fromServer: true });
  const refused = await failure(connection.call("nothing"));
  expect(refused).toBeInstanceOf(RingcastError);
  expect(refused).toMatchObject({ code: "unknown_action", fromServer: true });
  const called = new AbortController();
  const aborted = failure(connection.call("addSlowly", [1], { signal: called.signal }));
  called.abort(new Error("never mind"));
  expect((await aborted).message).toBe("never mind");
  await connection.release();
  stream.close();
  await client.close();
  expect(connection.status).toBe("closed");
  expect(await failure(connection.add(1))).toMatchObject({ code: "connection_closed" });
});

test("its archive has the licence, which is the repository's", () => {
  const packed = execFileSync("npm", ["pack", "--dry-run", "--json", "--ignore-scripts"], {
    cwd: fileURLToPath(new URL("..", import.meta.url)),
    encoding: "utf8",
  });
  const paths = JSON.parse(packed)[0].files.map((file: { path: string }) => file.path);
  expect(paths).toContain("LICENSE");
  expect(readFileSync(new URL("../LICENSE", import.meta.url), "utf8")).toBe(
    readFileSync(new URL("../../../LICENSE", import.meta.url), "utf8"),
  );
});
