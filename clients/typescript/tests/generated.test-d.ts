/** What compiles against the types that `ringcast types` makes, and what must not. */

import { describe, expectTypeOf, test } from "vitest";
import type { Registry as Demo, Quote } from "../../../python/ringcast/demo/registry.js";
import type { Goods, KindsItem, KindsItemInput, Registry } from "../../../tests/integration/kinds.js";
import { createClient } from "../src/index.js";

const client = createClient<Registry>("http://localhost:8080");
const connection = client.shop.getOrCreate(["a"]).connect({ name: "ann" });
const thing: KindsItemInput = { id: "1", price: "2.50" };

describe("a generated registry", () => {
  test("an event has its name and its arguments", () => {
    connection.on("sold", (item) => expectTypeOf(item).toEqualTypeOf<KindsItem>());
    connection.on("moved", (x, y, by) => {
      expectTypeOf(x).toEqualTypeOf<number>();
      expectTypeOf(y).toEqualTypeOf<number>();
      expectTypeOf(by).toEqualTypeOf<string | null>();
    });
    connection.on("closed", () => {});
    // @ts-expect-error a wrong name
    connection.on("sodl", () => {});
    // @ts-expect-error a wrong argument
    connection.on("sold", (item: string) => item);
    // @ts-expect-error an argument where there is none
    connection.on("closed", (why) => why);
    // @ts-expect-error a field that is not there
    connection.on("sold", (item) => item.title);
    // @ts-expect-error it may be null
    connection.on("sold", (item) => item.made.length);
  });

  test("an action has its name, its arguments and its result", () => {
    expectTypeOf(connection.sell(thing, 2)).resolves.toEqualTypeOf<KindsItem[]>();
    expectTypeOf(connection.find("1", "2")).resolves.toEqualTypeOf<KindsItem | null>();
    expectTypeOf(connection.new("x")).resolves.toEqualTypeOf<void>();
    expectTypeOf(connection.unannotated(1)).resolves.toEqualTypeOf<unknown>();
    // @ts-expect-error no such action
    connection.buy(thing);
    // @ts-expect-error a missing argument
    connection.sell();
    // @ts-expect-error a missing field
    connection.sell({ id: "1" });
    // @ts-expect-error a field that is not there
    connection.sell({ id: "1", price: 1, colours: "red" });
    // @ts-expect-error no member of the enum
    connection.sell({ id: "1", price: 1, colour: "blue" });
    // @ts-expect-error a wrong argument
    connection.find(1);
    // @ts-expect-error an argument that Python takes by keyword only
    connection.new("x", true);
    // @ts-expect-error a result that may be null
    connection.find("1").then((item) => item.price);
    // @ts-expect-error a price is text when it comes
    connection.find("1").then((item) => item?.price.toFixed());
  });

  test("an argument that is left out is not undefined, which would travel as null", () => {
    connection.sell(thing);
    connection.listSome();
    connection.listSome(1, "red", 5, "z");
    connection.listSome(1, undefined, 5);
    connection.listSome(1, undefined);
    connection.listSome(1, null, 5, undefined);
    // @ts-expect-error it has another default than null
    connection.sell(thing, undefined);
    // @ts-expect-error it has another default than null
    connection.listSome(undefined, "red");
    // @ts-expect-error it has another default than null
    connection.listSome(1, "red", undefined, "z");
    // @ts-expect-error it is no number
    connection.listSome(1, "red", "5");
  });

  test("what has come may be sent back", async () => {
    const [item] = await connection.sell(thing);
    if (item) await connection.sell(item);
  });

  test("parameters, input and snapshot are those of the actor", () => {
    const shop = client.shop.getOrCreate(["a"], { input: { title: "Ours" } });
    shop.connect({ name: "ann", vip: true });
    expectTypeOf(connection.snapshot).toEqualTypeOf<Goods | undefined>();
    // @ts-expect-error parameters are wanted
    shop.connect();
    // @ts-expect-error a wrong one
    shop.connect({ name: 1 });
    // @ts-expect-error a wrong input
    client.shop.create(["b"], { input: { titel: "Ours" } });
    client.silent.get().connect();
    // @ts-expect-error it takes none
    client.silent.get().connect({ name: "ann" });
  });

  test("an actor that declares no events may send any", () => {
    client.silent
      .get()
      .connect()
      .on("whatever", (first, second) => [first.x, second]);
  });

  test("an actor without actions and events has none", () => {
    const idle = client.idle.get().connect();
    // @ts-expect-error no such action
    idle.call("anything", []);
    // @ts-expect-error no such action
    idle.anything();
    // @ts-expect-error no such event
    idle.on("anything", () => {});
  });

  test("events with MessagePack alone have bytes", () => {
    client.camera
      .get()
      .connect()
      .on("frame", (picture) => expectTypeOf(picture).toEqualTypeOf<Uint8Array>());
  });
});

test("the demo's registry fits its actors", () => {
  const demo = createClient<Demo>("http://localhost:8080");
  const ticker = demo.ticker.get(["stocks"]);
  ticker.connect().on("price", (quote) => expectTypeOf(quote).toEqualTypeOf<Quote>());
  expectTypeOf(ticker.latest("MSFT")).resolves.toEqualTypeOf<Quote>();
  // @ts-expect-error no such event
  ticker.connect().on("prices", () => {});
  // @ts-expect-error a player has an id
  demo.gameRoom.get(["a"]).connect({ role: "player" });
});
