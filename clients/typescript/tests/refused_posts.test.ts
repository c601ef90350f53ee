/** What something on the way to the server refuses or changes, with server-sent events and with calls of handles. */

import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Connection } from "../src/connection.js";
import { where } from "../src/index.js";
import { HttpProxy, posted } from "./support/http_proxy.js";
import { failure, until, useWorld } from "./support/world.js";

const world = useWorld();
let proxy: HttpProxy;

beforeEach(async () => {
  proxy = await HttpProxy.to(world.server.url);
});
afterEach(() => proxy.close());

const far = (name: string) =>
  world.near({ url: proxy.url, transport: "sse" }).actor(name).getOrCreate(world.key);

/** Lose the network, and wait until it is there again. */
async function comeBack(connection: Connection): Promise<void> {
  const back = new Promise<void>((resolve) => connection.once("reconnected", resolve));
  proxy.cut();
  await back;
}

/** What a proxy may say, in a response that is declared to be JSON. */
const PAGES = [
  "<html>",
  "",
  "[]",
  "null",
  '{"error":null}',
  '{"error":"too large"}',
  '{"error":{"code":403}}',
  '{"error":{"code":["a"]}}',
  '{"error":{"code":"unknown_session","message":"m"}}',
];
const CODES: [number, string][] = [
  [400, "internal_error"],
  [401, "unauthorized"],
  [403, "forbidden"],
  [413, "message_too_big"],
  [431, "internal_error"],
];

describe("a call that is posted for the first time", () => {
  test.each(CODES)("has not run, whatever is said with it: %i is %s", async (status, code) => {
    const connection = far("feed").connect();
    await connection.ready();
    const { id } = connection;
    proxy.refuse = posted(status, '"add"');
    for (const page of PAGES) {
      proxy.page = page;
      expect(await failure(connection.add(1))).toMatchObject({
        code,
        message: expect.stringContaining(`${status}`),
        fromServer: false,
      });
    }
    expect(proxy.refused).toHaveLength(PAGES.length);
    proxy.refuse = () => false;
    // Also when the connection has come back: they are not sent again.
    await comeBack(connection);
    expect(await connection.add(1)).toBe(1);
    expect([connection.status, connection.id]).toEqual(["connected", id]);
  });

  test.each([404, 408, 421, 425, 429, 502, 503])("is sent again where it may pass: %i", async (status) => {
    const connection = far("feed").connect();
    await connection.ready();
    const { id } = connection;
    for (const page of PAGES) {
      let times = 2;
      proxy.page = page;
      const refuse = posted(status, '"add"');
      proxy.refuse = (path, body) => times > 0 && refuse(path, body) && (times-- ? status : 0);
      await connection.add(1);
      expect(times).toBe(0);
    }
    expect(await connection.add(1)).toBe(PAGES.length + 1);
    expect(connection.id).toBe(id);
  });
});

test.each(CODES)("a call that ran is not told as one that did not: %i", async (status) => {
  const connection = far("feed").connect();
  const near = world.near().actor("feed").getOrCreate(world.key);
  const adding = new Promise<void>((resolve) => connection.once("adding", resolve));
  await connection.ready();
  const { id } = connection;
  const slow = failure(connection.addSlowly(5));
  await adding;
  proxy.refuse = posted(status, "addSlowly");
  await comeBack(connection);
  expect(await slow).toMatchObject({
    code: "outcome_unknown",
    fromServer: false,
    cause: { message: expect.stringContaining(`${status}`) },
  });
  expect(proxy.refused).toHaveLength(1);
  // What follows is refused, and runs, as ever.
  const added = new Promise<void>((resolve) => connection.once("added", resolve));
  expect((await failure(connection.addSlowly(7))).code).toBe(CODES.find(([each]) => each === status)?.[1]);
  await near.release();
  await added;
  expect(await connection.add(1)).toBe(6);
  expect(connection.id).toBe(id);
});

test.each([403, 413])("a subscription that is refused is in no connect message: %i", async (status) => {
  const connection = far("world").connect();
  const told: string[] = [];
  const heard: unknown[] = [];
  connection.on("error", (error: any) => told.push(error.code));
  connection.on("moved", ({ zone }) => heard.push(zone), where({ zone: 3 }));
  await connection.ready();
  const { id } = connection;
  // Any request: a connect message with it would be refused as well, and for good.
  proxy.refuse = (_, body) => body.includes("drop table") && status;
  connection.on("moved", () => {}, where({ name: "drop table" }));
  for (const count of [1, 2, 3]) {
    // Once for each time that it is asked for, which is more often where a socket is lost by itself.
    await until(() => told.length >= count);
    await connection.move({ zone: 3 });
    await until(() => heard.length === count);
    if (count < 3) await comeBack(connection);
  }
  expect(new Set(told)).toEqual(new Set([status === 413 ? "message_too_big" : "forbidden"]));
  expect(proxy.connects.length).toBeGreaterThanOrEqual(3);
  expect(connection.id).toBe(id);
});

/** Of which a proxy says that it has passed the call on, and nothing of what has become of it. */
const PASSED_ON: [number, string][] = [
  [502, "outcome_unknown"],
  [504, "outcome_unknown"],
];

test.each([
  ...CODES,
  ...PASSED_ON,
  [404, "internal_error"],
  [429, "internal_error"],
  [500, "internal_error"],
  [503, "internal_error"],
])("a call without a connection fails with what its status says: %i is %s", async (status, code) => {
  const feed = far("feed");
  proxy.refuse = () => status as number;
  for (const page of PAGES) {
    proxy.page = page;
    for (const ask of [() => feed.add(1), () => feed.resolve()])
      expect(await failure(ask())).toMatchObject({
        code,
        message: expect.stringContaining(`${status}`),
        fromServer: false,
      });
  }
  expect(proxy.refused).toHaveLength(2 * PAGES.length);
});

test("nor is anything that is no answer taken for one", async () => {
  const feed = far("feed");
  proxy.refuse = () => 200;
  const pages = ["<html>", "", "[]", "null", "5", '"ok"', "{}", '{"status":"ok"}', '{"error":"too large"}'];
  for (const page of pages) {
    proxy.page = page;
    for (const ask of [() => feed.add(1), () => feed.resolve()])
      expect(await failure(ask())).toMatchObject({
        code: "internal_error",
        message: expect.stringContaining("200"),
        fromServer: false,
      });
  }
  expect(feed.actorId).toBeNull();
  // Nor is the one taken for the other.
  proxy.page = '{"actor_id":"a","key":[]}';
  expect((await failure(feed.add(1))).code).toBe("internal_error");
  proxy.page = '{"value":1}';
  expect((await failure(feed.resolve())).code).toBe("internal_error");
  // Nor what has more, or something else, in the place of what is asked for.
  const error = { code: "a", message: "m" };
  proxy.page = JSON.stringify({ value: 1, error });
  expect(await failure(feed.add(1))).toMatchObject({ code: "internal_error", fromServer: false });
  for (const page of [{ actor_id: 5 }, { actor_id: null }, { actor_id: ["a"] }, { actor_id: "a", error }]) {
    proxy.page = JSON.stringify({ key: [], ...page });
    expect(await failure(feed.resolve())).toMatchObject({ code: "internal_error", fromServer: false });
  }
  expect(feed.actorId).toBeNull();
});

test.each<[string, Record<string, string>, HttpProxy["say"]]>([
  ["that does not end", {}, (response) => response.write("<html>")],
  [
    "that is cut off",
    { "Content-Length": "1000" },
    (response) => response.write("<html>", () => proxy.cut()),
  ],
  ["in another encoding", { "Content-Encoding": "gzip" }, (response) => response.end("<html>")],
])("a body %s, of a proxy, is not waited for", async (_, headers, say) => {
  const feed = far("feed");
  proxy.refuse = () => 413;
  proxy.headers = headers;
  proxy.say = say;
  for (const ask of [() => feed.add(1), () => feed.resolve()])
    expect(await failure(ask())).toMatchObject({ code: "message_too_big", fromServer: false });
  expect(proxy.refused).toHaveLength(2);
});

describe("a body in the place of an error of the server's", () => {
  /** Those of which nobody can say what the server has said. */
  const UNREADABLE = [...PAGES.slice(0, -1), '{"error":{"code":"","message":"m"}}', "{}"];

  beforeEach(() => {
    proxy.headers = { "Ringcast-Error": "true" };
  });

  test.each(CODES)("is as that of a proxy, to calls: %i is %s", async (status, code) => {
    const feed = far("feed");
    const connection = feed.connect();
    await connection.ready();
    const { id } = connection;
    proxy.refuse = (path, body) =>
      (path.endsWith("/resolve") || path.endsWith("/actions/add") || body.includes('"add"')) && status;
    for (const page of UNREADABLE) {
      proxy.page = page;
      for (const ask of [() => connection.add(1), () => feed.add(1), () => feed.resolve()])
        expect(await failure(ask())).toMatchObject({
          code,
          message: expect.stringContaining(`${status}`),
          fromServer: false,
        });
    }
    // Each once.
    expect(proxy.refused).toHaveLength(3 * UNREADABLE.length);
    proxy.refuse = () => false;
    expect(await connection.add(1)).toBe(1);
    expect([connection.status, connection.id]).toEqual(["connected", id]);
  });

  test.each<[number, string, Record<string, string>]>([
    [401, "unauthorized", {}],
    [403, "forbidden", {}],
    [403, "forbidden", { "Ringcast-Close": "4000" }],
    [413, "message_too_big", {}],
  ])("is as that of a proxy, to connects: %i is %s %o", async (status, code, headers) => {
    proxy.headers = { ...proxy.headers, ...headers };
    proxy.refuse = (path) => path.endsWith("/events") && status;
    for (const page of UNREADABLE) {
      proxy.page = page;
      const connection = far("feed").connect();
      const error = await failure(connection.ready());
      expect(error).toMatchObject({
        code,
        message: expect.stringContaining(`${status}`),
        fromServer: false,
      });
      expect([connection.status, connection.lastError]).toEqual(["closed", error]);
    }
    expect(proxy.refused).toHaveLength(UNREADABLE.length);
  });
});

test.each([
  [401, "unauthorized"],
  [403, "forbidden"],
  [413, "message_too_big"],
])(
  "a connect that a proxy refuses ends with what its status says, and not as the server's: %i is %s",
  async (status, code) => {
    proxy.refuse = (path) => path.endsWith("/events") && status;
    for (const page of PAGES) {
      proxy.page = page;
      expect(await failure(far("feed").connect().ready())).toMatchObject({
        code,
        message: expect.stringContaining(`${status}`),
        fromServer: false,
      });
    }
    expect(proxy.refused).toHaveLength(PAGES.length);
  },
);
