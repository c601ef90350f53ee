/** Listening with filters, against a real server in both encodings. */

import { describe, expect, test } from "vitest";
import { where } from "../src/index.js";
import { CODECS, until, useWorld } from "./support/world.js";

const world = useWorld();

describe.each(Object.entries(CODECS))("over %s", (_, codec) => {
  const connect = () => world.near({ codec }).actor("world").getOrCreate([world.key, _]).connect();
  const move = (zone: number, name: string | null = null, tags: string[] = []) => ({ zone, name, tags });

  test("each handler gets exactly what it asked for", async () => {
    const connection = connect();
    const got: Record<string, number[]> = { one: [], high: [], vip: [], once: [] };
    const add = (name: string) => (event: { zone: number }) => got[name]?.push(event.zone);
    connection.on("moved", add("one"), where({ zone: 1 }));
    connection.on("moved", add("high"), where({ zone__ge: 3 }));
    connection.on("moved", add("vip"), where({ tags__has: "vip", name__prefix: "an" }));
    connection.once("moved", add("once"), where({ zone__in: [2, 3] }));
    await connection.ready();
    await connection.move(move(1), move(2), move(3), move(4, "ann", ["vip"]), move(2, "bob", ["vip"]));
    await connection.move();
    expect(got).toEqual({ one: [1], high: [3, 4], vip: [4], once: [2] });
  });

  test("nothing else is sent, and a filter goes with its last handler", async () => {
    const [connection, other] = [connect(), connect()];
    const got: number[] = [];
    const stop = connection.on("moved", (event) => got.push(event.zone), where({ zone: 1 }));
    await connection.ready();
    await other.move(move(1), move(2));
    await connection.move();
    const { offset } = connection.position;
    stop();
    await connection.move();
    await other.move(move(1));
    await connection.move();
    expect(got).toEqual([1]);
    expect(connection.position.offset).toBe(offset);
  });

  test("an event for one connection reaches handlers by the same rule; a stream may be filtered", async () => {
    const connection = connect();
    const got: number[] = [];
    connection.on("moved", (event) => got.push(event.zone), where({ zone: 1 }));
    const stream = connection.stream("moved", where({ zone__lt: 0 }));
    await connection.ready();
    for (const zone of [1, 2, -1]) await connection.tell(zone);
    expect(got).toEqual([1]);
    expect((await stream.next()).value.zone).toBe(-1);
    stream.close();
  });

  test("what the server refuses is an error, and the rest goes on", async () => {
    const connection = connect();
    const got: number[] = [];
    const errors: any[] = [];
    connection.on("error", (error) => errors.push(error));
    connection.on("moved", () => got.push(0), where({ zon: 1 }));
    connection.on("moved", (event) => got.push(event.zone), where({ zone: 1 }));
    connection.on("secret", () => got.push(0), where({ zone: 1 }));
    await connection.ready();
    connection.on("moved", () => got.push(0), where({ zone__gte: 1 }));
    await connection.move(move(1), move(2));
    await until(() => errors.length === 3);
    expect(got).toEqual([1]);
    const codes = errors.map(({ code }) => code).sort();
    expect(codes).toEqual(["invalid_filter", "invalid_filter", "subscription_refused"]);
    expect(errors.map(({ message }) => message).join()).toContain("Moved has no field 'zon'");
  });

  test("what was missed is replayed, as far as it matches", async () => {
    const [near, far] = [
      connect(),
      world.far({ codec }).actor("world").getOrCreate([world.key, _]).connect(),
    ];
    const got: number[] = [];
    let returned = false;
    far.on("moved", (event) => got.push(event.zone), where({ zone: 1 }));
    far.on("reconnected", () => {
      returned = true;
    });
    await far.ready();
    world.network.cut();
    await until(() => far.status === "reconnecting");
    await near.move(move(1), move(2));
    world.network.restore();
    await until(() => returned);
    await near.move(move(3), move(1));
    await until(() => got.length === 2);
    expect(got).toEqual([1, 1]);
  });

  test("what is listened for while the network is lost begins with the return", async () => {
    const [near, far] = [
      connect(),
      world.far({ codec }).actor("world").getOrCreate([world.key, _]).connect(),
    ];
    const early: number[] = [];
    const late: number[] = [];
    const all: number[] = [];
    let returned = false;
    far.on("moved", (event) => early.push(event.zone), where({ zone: 1 }));
    far.on("reconnected", () => {
      returned = true;
    });
    await far.ready();
    world.network.cut();
    await until(() => far.status === "reconnecting");
    await near.move(move(1), move(2));
    far.on("moved", (event) => late.push(event.zone), where({ zone__in: [1, 2] }));
    far.on("moved", (event) => all.push(event.zone));
    await near.move(move(1));
    world.network.restore();
    await until(() => returned);
    await far.move();
    expect([early, late, all]).toEqual([[1, 1], [], []]);
    await near.move(move(3), move(2), move(1));
    await far.move();
    expect([early, late, all]).toEqual([
      [1, 1, 1],
      [2, 1],
      [3, 2, 1],
    ]);
  });
});
