/** Calls over connections: exactly once over lost networks, the offline queue, errors, signals. */

import { decode, encode } from "@msgpack/msgpack";
import { describe, expect, test } from "vitest";
import { msgpack } from "../src/msgpack.js";
import { CODECS, failure, until, useWorld } from "./support/world.js";

const world = useWorld();
const feed = (options = {}) => world.far(options).actor("feed").getOrCreate(world.key).connect();
const clumsy = (options = {}) => world.near(options).actor("clumsy").getOrCreate(world.key).connect({});

test("calls run once each, whenever the network is cut", async () => {
  const connection = feed();
  await connection.ready();
  const results: Promise<number>[] = [];
  for (let index = 0; index < 200; index += 1) {
    results.push(connection.add(1));
    if (index % 25 === 10) {
      world.network.blink();
      await results[index - 5];
    }
  }
  const totals = await Promise.all(results);
  expect([...totals].sort((a, b) => a - b)).toEqual(Array.from({ length: 200 }, (_, index) => index + 1));
  expect(await connection.add(0)).toBe(200);
});

test("a call whose answer was lost is answered after the reconnect, and has run once", async () => {
  const connection = feed();
  const other = world.near().actor("feed").getOrCreate(world.key).connect();
  let adding = false;
  other.on("adding", () => (adding = true));
  await other.ready();
  const answer = connection.addSlowly(5);
  await until(() => adding);
  world.network.cut();
  await other.release();
  world.network.restore();
  expect(await answer).toBe(5);
  expect(await other.add(0)).toBe(5);
});

test("a call whose session has ended is told that its outcome is unknown", async () => {
  const connection = feed();
  const other = world.near().actor("feed").getOrCreate(world.key).connect();
  let adding = false;
  other.on("adding", () => (adding = true));
  await other.ready();
  const answer = failure(connection.addSlowly(5));
  await until(() => adding);
  world.network.cut();
  await world.server.kill();
  await until(() => connection.status === "reconnecting");
  await world.server.start();
  world.network.restore();
  expect(await answer).toMatchObject({ code: "outcome_unknown", fromServer: false });
});

test("calls that are made without a network wait, so many, with the arguments that they had", async () => {
  const connection = world.far({ maxOfflineCalls: 3 }).actor("clumsy").getOrCreate(world.key).connect({});
  await connection.ready();
  world.network.cut();
  await until(() => connection.status === "reconnecting");
  expect(await failure(connection.echo(1n))).toBeInstanceOf(TypeError);
  const value = { text: "before" };
  const answers = [1, 2].map((item) => connection.echo(item));
  answers.push(connection.echo(value));
  value.text = "after";
  expect(await failure(connection.echo(4))).toMatchObject({ code: "offline_queue_full", fromServer: false });
  world.network.restore();
  expect(await Promise.all(answers)).toEqual([1, 2, { text: "before" }]);
  expect(await connection.echo(5)).toBe(5);
});

test("calls past the bound on unanswered ones wait for their turn", async () => {
  const connection = clumsy({ maxUnansweredCalls: 20 });
  await connection.ready();
  const answers = Array.from({ length: 300 }, (_, index) => connection.echo(index));
  expect(await Promise.all(answers)).toEqual(Array.from({ length: 300 }, (_, index) => index));
});

test("a signal ends the waiting: a call that was not sent does not run", async () => {
  const connection = feed();
  await connection.ready();
  world.network.cut();
  await until(() => connection.status === "reconnecting");
  const controller = new AbortController();
  const answer = failure(connection.call("add", [1], { signal: controller.signal }));
  controller.abort(new Error("never mind"));
  expect((await answer).message).toBe("never mind");
  world.network.restore();
  expect(await connection.add(0)).toBe(0);
  expect(await failure(connection.call("add", [1], { signal: controller.signal }))).toMatchObject({
    message: "never mind",
  });
  const sent = connection.call("addSlowly", [1], { signal: AbortSignal.timeout(50) });
  expect((await failure(sent)).name).toBe("TimeoutError");
  expect(await connection.add(0)).toBe(1);
  // What still runs would hold up the server's end.
  await connection.release();
});

describe("errors", () => {
  test("of the actor's author arrive with code, message and metadata", async () => {
    const connection = world.near().actor("chatRoom").getOrCreate(world.key).connect();
    expect(await failure(connection.deleteMessage("7"))).toMatchObject({
      name: "RingcastError",
      code: "no_such_message",
      message: "no such message",
      metadata: { id: "7" },
      fromServer: true,
    });
  });

  test("of bad input name the argument", async () => {
    const error = await failure(feed().emit("many"));
    expect(error).toMatchObject({ code: "validation_error", metadata: { argument: "count" } });
  });

  test("of any other kind keep their text to themselves; unknown actions are said to be", async () => {
    const connection = clumsy();
    expect(await failure(connection.fail())).toMatchObject({
      code: "internal_error",
      message: "internal error",
    });
    expect(await failure(connection.dance())).toMatchObject({ code: "unknown_action" });
    expect(await failure(connection.call("x".repeat(129)))).toBeInstanceOf(RangeError);
  });

  test("an action whose name is taken is called by its name", async () => {
    const connection = world.near().actor("chatRoom").getOrCreate(world.key).connect();
    await connection.ready();
    expect(connection.status).toBe("connected");
    expect(await connection.call("status")).toContain("an action");
  });

  test("what cannot be sent is the caller's at once, and costs nothing", async () => {
    const connection = clumsy();
    await connection.ready();
    let deep: unknown = null;
    for (let index = 0; index < 300; index += 1) deep = [deep];
    expect(await failure(connection.echo(deep))).toBeInstanceOf(RangeError);
    expect(await failure(connection.echo(new Uint8Array(1)))).toBeInstanceOf(TypeError);
    expect(await connection.echo("still there")).toBe("still there");
  });

  test.each(Object.entries(CODECS))("half of a character is one of its call alone: %s", async (_, codec) => {
    const connection = clumsy({ codec });
    const ends: unknown[] = [];
    connection.on("disconnected", (...args) => ends.push(args));
    await connection.ready();
    const whole = "😀";
    const answers = [connection.echo(1), failure(connection.echo([whole[0]])), connection.echo(whole)];
    const [before, error, after] = await Promise.all(answers);
    expect([before, after]).toEqual([1, whole]);
    expect(error).toMatchObject({ code: "validation_error", fromServer: true });
    expect(error.message).toContain("echo: argument 1 has text");
    expect(ends).toEqual([]);
  });

  test.each(Object.entries(CODECS))(
    "values that would arrive as others are refused, at any depth: %s",
    async (name, codec) => {
      const connection = clumsy({ codec });
      await connection.ready();
      const answer = connection.echo(1);
      const values = [
        () => 1,
        Symbol("x"),
        new Map([[1, 2]]),
        new Set([1]),
        new Error("x"),
        new ArrayBuffer(1),
      ];
      if (name === "json") values.push(...([NaN, -Infinity, new DataView(new ArrayBuffer(1)), 1n] as any[]));
      for (const value of [...values, Promise.resolve(1)])
        for (const argument of [value, [{ value }], { toJSON: () => ({ value }) }])
          expect(await failure(connection.echo(argument))).toBeInstanceOf(TypeError);
      // What an object says of itself counts, not what it has.
      const own = Object.assign(new Error("x"), { unsaid: () => {}, toJSON: () => "an error" });
      expect(await connection.echo(own)).toBe("an error");
      expect(await answer).toBe(1);
    },
  );

  test("names with half a character and arguments that are no array are refused, and nothing else happens", async () => {
    const connection = clumsy();
    const half = "😀".slice(0, 1);
    // Also before there is a connection, whose first message would have had the name.
    expect(() => connection.on(half, () => {})).toThrow(RangeError);
    expect(() => world.near().actor("clumsy").getOrCreate([half])).toThrow(RangeError);
    const answer = connection.echo(1);
    await connection.ready();
    expect(await failure(connection.call(half))).toBeInstanceOf(RangeError);
    expect(await failure(connection.call("echo", "abc" as any))).toBeInstanceOf(TypeError);
    const handle = world.near().actor("feed").get("x");
    expect(await failure(handle.call("add", "1" as any))).toBeInstanceOf(TypeError);
    expect(await answer).toBe(1);
    expect(await connection.echo("still there")).toBe("still there");
  });

  test("of calls that wait for room, so many wait: one more is refused", async () => {
    const connection = clumsy({ maxUnansweredCalls: 1 });
    await connection.ready();
    const answers = Array.from({ length: 17 }, (_, index) => connection.echo(index));
    expect(await failure(connection.echo(17))).toMatchObject({ code: "too_many_calls", fromServer: false });
    expect(await Promise.all(answers)).toEqual(Array.from({ length: 17 }, (_, index) => index));
  });
});

test("MessagePack carries bytes; a date is a string, an undefined field is left out, in both encodings", async () => {
  const bytes = new Uint8Array([0, 255, 10]);
  const codec = msgpack({ encode, decode });
  expect(new Uint8Array(await clumsy({ codec, transport: "auto" }).echo(bytes))).toEqual(bytes);
  for (const codec of Object.values(CODECS)) {
    const value = { at: new Date(0), gone: undefined, items: [undefined, 1] };
    const echoed = await clumsy({ codec }).echo(value);
    expect(echoed).toEqual({ at: "1970-01-01T00:00:00.000Z", items: [null, 1] });
  }
});
