/** Connections of handles that create: when they come back, and when they end. */

import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { HttpProxy } from "./support/http_proxy.js";
import { failure, until, useWorld } from "./support/world.js";

const world = useWorld("busy");
let proxy: HttpProxy;

beforeEach(async () => {
  proxy = await HttpProxy.to(world.server.url);
});
afterEach(() => proxy.close());

test("one that finds the server busy comes when it is told to, and creates the actor", async () => {
  const working = world.near().actor("feed").getOrCreate(world.key);
  const watching = working.connect();
  const adding = new Promise<void>((resolve) => watching.once("adding", resolve));
  await watching.ready();
  const slow = working.addSlowly(1);
  await adding;
  // By itself it would come back when this test has failed.
  const hour = 3_600_000;
  const options = { reconnectFirstMs: 0, reconnectBaseMs: hour, reconnectMaxMs: hour, random: () => 0.5 };
  const creating = world.near(options).actor("feed").create(`${world.key} new`);
  expect(await failure(creating.resolve())).toMatchObject({ code: "try_again_later", fromServer: true });
  const connection = creating.connect();
  await until(() => connection.lastError !== null);
  expect(connection.lastError).toMatchObject({ code: "try_again_later" });
  expect(connection.status).toBe("connecting");
  await watching.release();
  await slow;
  await connection.ready();
  expect(connection.actorId).toBe(await creating.resolve());
});

/** Refuse what would create, as the server does with this error. */
function refuseAs(status: number, code: string): void {
  proxy.headers = { "Ringcast-Error": "true" };
  proxy.page = JSON.stringify({ error: { code, message: "not now" } });
  proxy.refuse = (path) => path.endsWith("/resolve") && status;
}

describe("an error of the server's", () => {
  test.each([
    [429, "rate_limited"],
    [429, "too_many_calls"],
    [429, "too_many_connections"],
    [500, "internal_error"],
    [500, "outcome_unknown"],
    [503, "connection_closed"],
    [503, "server_full"],
    [503, "try_again_later"],
  ])("after which the next attempt may create it is no end: %i %s", async (status, code) => {
    refuseAs(status, code);
    const connection = world
      .near({ url: proxy.url, transport: "sse" })
      .actor("feed")
      .create(world.key)
      .connect();
    await until(() => proxy.refused.length > 1);
    expect(connection.status).toBe("connecting");
    expect(connection.lastError).toMatchObject({ code, message: "not now", fromServer: true });
    const attempts = new Set(proxy.refused.map((body) => JSON.parse(body).attempt));
    expect(attempts.size).toBe(1);
    proxy.refuse = () => false;
    expect(await connection.add(1)).toBe(1);
  });

  test.each([
    [429, "rate_limited"],
    [429, "too_many_calls"],
    [503, "try_again_later"],
  ])("that says when to come again is heeded: %i %s", async (status, code) => {
    refuseAs(status, code);
    const { error } = JSON.parse(proxy.page);
    proxy.page = JSON.stringify({ error: { ...error, metadata: { retry_after_ms: 1 } } });
    // By itself it would come back when this test has failed.
    const hour = 3_600_000;
    const connection = world
      .near({
        url: proxy.url,
        transport: "sse",
        reconnectFirstMs: 0,
        reconnectBaseMs: hour,
        reconnectMaxMs: hour,
        random: () => 0.5,
      })
      .actor("feed")
      .create(world.key)
      .connect();
    await until(() => proxy.refused.length > 3);
    proxy.refuse = () => false;
    await connection.ready();
  });

  test.each([
    [400, "too_many_customers"],
    [400, "1012"],
    [400, "4500"],
    [409, "actor_already_exists"],
    [500, "store_unavailable"],
    [504, "action_timeout"],
    [507, "too_many_actors"],
  ])("after which it may be there, or would not be made, is the end: %i %s", async (status, code) => {
    refuseAs(status, code);
    const connection = world
      .near({ url: proxy.url, transport: "sse" })
      .actor("feed")
      .create(world.key)
      .connect();
    expect(await failure(connection.ready())).toMatchObject({ code, fromServer: true });
    expect([connection.status, proxy.refused.length]).toEqual(["closed", 1]);
  });
});
