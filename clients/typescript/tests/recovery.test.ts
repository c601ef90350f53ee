/** A lost network: replay exactly once, gaps, snapshots; a server that is killed and started again. */

import { expect, test, vi } from "vitest";
import { recording, TRANSPORT, until, useWorld } from "./support/world.js";

const world = useWorld();

/** Return a connection over the network that can be lost, and what it has heard. */
function listening(actor: string, names = ["replayed", "gap", "resynced"], options = {}, event = "item") {
  const connection = world.far(options).actor(actor).getOrCreate(world.key).connect();
  const items: number[] = [];
  const told: [string, any][] = [];
  connection.on(event, (item) => items.push(item));
  for (const name of names) connection.on(name, (value: unknown) => told.push([name, value]));
  return { connection, items, told };
}

const upTo = (count: number) => Array.from({ length: count }, (_, index) => index + 1);
const emitter = (actor: string) => world.near().actor(actor).getOrCreate(world.key).connect();

test("what was missed comes in order, once, before anything new, over cut after cut", async () => {
  const { connection, items, told } = listening("feed");
  const states: string[] = [];
  connection.onStatusChange((status) => states.push(status));
  for (const name of ["connected", "disconnected", "reconnected"])
    connection.on(name, () => states.push(`on ${name}`));
  const far = emitter("feed");
  await connection.ready();
  for (let round = 0; round < 5; round += 1) {
    await far.emit(20);
    world.network.cut();
    await far.emit(30);
    await until(() => connection.status === "reconnecting");
    world.network.restore();
    await until(() => connection.status === "connected");
  }
  await far.emit(1);
  await until(() => items.length >= 251);
  expect(items).toEqual(upTo(251));
  expect(told.map(([name]) => name)).toEqual(Array(5).fill("replayed"));
  expect(told.every(([, count]) => count >= 30 && count <= 50)).toBe(true);
  const again = ["reconnecting", "on disconnected", "connected", "on reconnected"];
  expect(states).toEqual(["connecting", "connected", "on connected", ...Array(5).fill(again).flat()]);
});

test("cuts at any moment of a running stream lose nothing and repeat nothing", async () => {
  const { connection, items, told } = listening("feed");
  const far = emitter("feed");
  await connection.ready();
  for (let round = 0; round < 40; round += 1) {
    const emitted = far.emit(10);
    if (round % 3 === 0) world.network.blink();
    await emitted;
  }
  await until(() => items.length >= 400);
  expect(items).toEqual(upTo(400));
  expect(told.filter(([name]) => name === "gap")).toEqual([]);
});

test("what the ring has let go is a gap with its bounds", async () => {
  const { connection, items, told } = listening("shortFeed");
  const far = emitter("shortFeed");
  await connection.ready();
  await far.emit(3);
  await until(() => items.length === 3);
  world.network.cut();
  await far.emit(50);
  world.network.restore();
  await until(() => items.length === 19);
  expect(items).toEqual([...upTo(3), ...upTo(53).slice(-16)]);
  expect(told).toEqual([
    ["gap", { reason: "ring_overflow", first: 4, last: 37 }],
    ["replayed", 16],
  ]);
  expect(connection.status).toBe("connected");
});

test("a snapshot comes with the first connect and stands for what is lost", async () => {
  const { items, told } = listening("board");
  const far = emitter("board");
  await until(() => told.length === 1);
  await far.emit(3);
  await until(() => items.length === 3);
  world.network.cut();
  await far.emit(50);
  world.network.restore();
  await until(() => told.length === 2);
  await far.emit(1);
  await until(() => items.length === 4);
  expect(told).toEqual([
    ["resynced", { items: 0 }],
    ["resynced", { items: 53 }],
  ]);
  expect(items).toEqual([1, 2, 3, 54]);
});

test("a gap that nobody listens for goes to the console; a stream rejects in its place, and goes on", async () => {
  const warn = vi.spyOn(console, "warn").mockImplementation(() => {});
  const { connection } = listening("shortFeed", []);
  const far = emitter("shortFeed");
  await connection.ready();
  world.network.cut();
  await far.emit(20);
  world.network.restore();
  await until(() => warn.mock.calls.length === 1);
  expect(warn.mock.calls[0]?.[1]).toMatchObject({ reason: "ring_overflow" });
  warn.mockRestore();

  const stream = connection.stream("item");
  await far.emit(2);
  world.network.cut();
  await far.emit(20);
  world.network.restore();
  const taken: unknown[] = [];
  const read = async () => {
    for await (const item of stream) {
      taken.push(item);
      if (item === 42) break;
    }
  };
  await expect(read()).rejects.toMatchObject({ code: "events_lost", metadata: { reason: "ring_overflow" } });
  await read();
  expect(taken.slice(-16)).toEqual(upTo(42).slice(-16));
});

test("an unread stream keeps so many events, and then says that it lost some", async () => {
  const connection = world.near({ maxUnhandledEvents: 4 }).actor("feed").getOrCreate(world.key).connect();
  const stream = connection.stream("item");
  await connection.emit(6);
  await expect(stream.next()).rejects.toMatchObject({
    code: "events_lost",
    metadata: { reason: "not_read" },
  });
  expect(await stream.next()).toEqual({ done: false, value: 5 });
});

test("handlers that fall too far behind are told so by a gap", async () => {
  const connection = world.near({ maxUnhandledEvents: 4 }).actor("feed").getOrCreate(world.key).connect();
  const heard: unknown[] = [];
  let release = () => {};
  connection.on("item", async (item) => {
    heard.push(item);
    if (item === 1) await new Promise<void>((resolve) => (release = resolve));
  });
  connection.on("gap", (gap) => heard.push(gap.reason));
  await connection.emit(6);
  release();
  await until(() => heard.length === 3);
  expect(heard).toEqual([1, "handlers_behind", 6]);
});

test.each([4, 100])(
  "one gap stands for all that is let go meanwhile; %i events wait at most",
  async (max) => {
    const connection = world.near({ maxUnhandledEvents: max }).actor("feed").getOrCreate(world.key).connect();
    const heard: unknown[] = [];
    let release = () => {};
    connection.on("item", async (item) => {
      heard.push(item);
      if (item % 5000 === 1) await new Promise<void>((resolve) => (release = resolve));
    });
    connection.on("gap", (gap) => heard.push(gap.reason));
    const stream = connection.stream("never");
    const expected: unknown[] = [];
    for (const last of [5000, 10_000]) {
      for (let round = 0; round < 10; round += 1) await connection.emit(500);
      release();
      // The first has its handler, and as many as may wait are let go, again and again.
      const left = upTo(last).slice(-1 - (4998 % max));
      expected.push(last - 4999, "handlers_behind", ...left);
      await until(() => heard.at(-1) === last);
      expect(heard).toEqual(expected);
      await expect(stream.next()).rejects.toMatchObject({ metadata: { reason: "handlers_behind" } });
    }
    const next = stream.next();
    await connection.close();
    expect(await next).toEqual({ done: true, value: undefined });
  },
);

test("a gap that nobody listens for is told to the console once, however often events are let go meanwhile", async () => {
  const warn = vi.spyOn(console, "warn").mockImplementation(() => {});
  const connection = world.near({ maxUnhandledEvents: 4 }).actor("feed").getOrCreate(world.key).connect();
  const items: number[] = [];
  let release = () => {};
  connection.on("item", async (item) => {
    items.push(item);
    if (item === 1) await new Promise<void>((resolve) => (release = resolve));
  });
  await connection.emit(500);
  release();
  await until(() => items.at(-1) === 500);
  expect(warn.mock.calls).toEqual([["ringcast: gap", { reason: "handlers_behind" }]]);
  warn.mockRestore();
});

test("whoever stops listening without a network, and listens again, wants nothing older", async () => {
  const { connection, items } = listening("feed");
  const far = emitter("feed");
  await connection.ready();
  await far.emit(1);
  await until(() => items.length === 1);
  world.network.cut();
  await far.emit(1);
  await until(() => connection.status === "reconnecting");
  connection.off("item");
  connection.on("item", (item) => items.push(item));
  world.network.restore();
  await until(() => connection.status === "connected");
  await connection.add(0);
  await far.emit(1);
  await until(() => items.length === 2);
  expect(items).toEqual([1, 3]);
});

test("nor does whoever stopped listening before the cut, when the server has not heard of it", async () => {
  const { connection, items } = listening("feed");
  const far = emitter("feed");
  await connection.ready();
  await far.emit(1);
  await until(() => items.length === 1);
  world.network.fallSilent();
  connection.off("item");
  await far.emit(1);
  world.network.cut();
  await until(() => connection.status === "reconnecting");
  connection.on("item", (item) => items.push(item));
  world.network.restore();
  await until(() => connection.status === "connected");
  await connection.add(0);
  await far.emit(1);
  await until(() => items.length === 2);
  expect(items).toEqual([1, 3]);
});

test("nor does whoever listens in place of another while the connection comes back", async () => {
  const heard: unknown[] = [];
  const { connects, options } = recording(({ resume }) => {
    if (!resume) return;
    connection.off("item");
    connection.on("item", (item) => heard.push(["new", item]));
  });
  const { connection, items } = listening("feed", [], options);
  const far = emitter("feed");
  await connection.ready();
  await far.emit(1);
  await until(() => items.length === 1);
  world.network.cut();
  await far.emit(1);
  world.network.restore();
  await until(() => connects.length === 2 && connection.status === "connected");
  await connection.add(0);
  await far.emit(1);
  await until(() => heard.length === 1);
  expect(connects[1].subscriptions).toEqual(["item"]);
  expect(items).toEqual([1]);
  expect(heard).toEqual([["new", 3]]);
});

test("a resume says which names and answers are certain", async () => {
  const { connects, options } = recording();
  let isLate = false;
  // Drawn when the network is lost, before the next connect message is made.
  const random = () => {
    if (!isLate) connection.on("fourth", () => {});
    isLate = true;
    return 0.5;
  };
  const { connection } = listening("feed", [], { ...options, random });
  connection.on("first", () => {});
  await connection.ready();
  connection.on("second", () => {});
  await connection.add(1);
  world.network.fallSilent();
  connection.on("third", () => {});
  world.network.cut();
  await until(() => connection.status === "reconnecting");
  world.network.restore();
  await until(() => connection.status === "connected");
  world.network.blink();
  await until(() => connects.length === 3 && connection.status === "connected");
  expect(connects.map(({ subscriptions }) => subscriptions.length)).toEqual([2, 5, 5]);
  expect(connects.map(({ resume }) => resume)).toMatchObject([
    undefined,
    // What was asked last has no answer.
    { unconfirmed: ["third", "fourth"], answered: 2, unanswered: [] },
    // The connect's own answer has confirmed all of them.
    { unconfirmed: [], answered: 2, unanswered: [] },
  ]);
});

test("a server that was killed: a durable actor goes on, an ordinary one begins anew and says so", async () => {
  const ordinary = listening("feed");
  const durable = listening("page", ["gap"], {}, "written");
  await ordinary.connection.emit(3);
  for (const number of [1, 2, 3]) await durable.connection.write(number);
  await until(() => durable.items.length === 3 && ordinary.items.length === 3);
  const { id } = durable.connection;
  await world.server.kill();
  await until(
    () => durable.connection.status === "reconnecting" && ordinary.connection.status === "reconnecting",
  );
  const written = durable.connection.write(4);
  await world.server.start();
  await written;
  await durable.connection.write(5);
  await until(() => durable.items.length === 5 && ordinary.told.length > 0);
  expect(durable.items).toEqual(upTo(5));
  expect(durable.told).toEqual([]);
  expect(durable.connection.id).toBe(id);
  expect(ordinary.told[0]).toMatchObject([
    "gap",
    { reason: expect.stringMatching(/epoch_changed|session_expired/) },
  ]);
});

test("every try to reach a server that is down waits for its random delay, and there is no end to them", async () => {
  const delays: number[] = [];
  const random = () => {
    delays.push(0.5);
    return 0.5;
  };
  // Where there is another way, a try may ask whether the server is there, too.
  const transport = TRANSPORT === "auto" ? "websocket" : TRANSPORT;
  const options = { random, reconnectBaseMs: 20, reconnectMaxMs: 80, transport };
  const { connection, items } = listening("feed", [], options);
  await connection.ready();
  world.network.cut();
  const before = world.network.tries;
  await until(() => world.network.tries - before >= 12);
  // A delay was drawn and waited before every one of them: a loop without a back-off would draw none.
  expect(Math.abs(delays.length - (world.network.tries - before))).toBeLessThanOrEqual(1);
  world.network.restore();
  await connection.emit(1);
  expect(items).toEqual([1]);
});
