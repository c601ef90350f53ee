/** What compiles against a registry, and what must not. */

import { assertType, describe, expectTypeOf, test } from "vitest";
import { WebSocket as NodeWebSocket } from "ws";
import { type Connection, createClient, type Gap, type Status } from "../src/index.js";

interface Article {
  id: string;
  level: "public" | "premium";
}

interface App {
  newsRoom: {
    params: { user_id: string; subscription?: "free" | "premium" };
    input: { title: string };
    actions: {
      publishArticle(article: Article): Article;
      search(text: string, limit?: number): Promise<Article[]>;
      close(): void;
    };
    events: { newArticle: [article: Article]; moved: [player: string, x: number]; tick: [] };
    snapshot: { articles: Article[] };
  };
  counter: { actions: { increase(by: number): number } };
  tagName: { actions: { catch(pattern: string): string; tagName(): void; _low(): void; catchAll(): void } };
}

const client = createClient<App>("http://localhost:8080");
const connection = client.newsRoom.getOrCreate(["world"]).connect({ user_id: "ann" });

describe("with a registry", () => {
  test("the actors are those of the registry", () => {
    expectTypeOf(client.counter.get).returns.toHaveProperty("increase");
    // @ts-expect-error no such actor
    client.chatRoom;
    // @ts-expect-error no such actor
    client.actor("chatRoom");
  });

  test("what JavaScript asks of any object is no method: it is called by its name", () => {
    const tags = client.actor("tagName").get("x");
    tags.catchAll();
    expectTypeOf(tags.call("catch", ["x"])).resolves.toEqualTypeOf<string>();
    // @ts-expect-error promises have it
    tags.catch("x");
    // @ts-expect-error elements of a page have it
    tags.connect().tagName();
    // @ts-expect-error tools that look at objects ask for such
    tags._low();
    // @ts-expect-error so it is with actors
    client.tagName;
  });

  test("an event has its arguments", () => {
    connection.on("newArticle", (article) => expectTypeOf(article).toEqualTypeOf<Article>());
    connection.once("moved", (player, x) => assertType<[string, number]>([player, x]));
    connection.on("tick", () => {});
    // @ts-expect-error a wrong name
    connection.on("newArticel", () => {});
    // @ts-expect-error a wrong argument
    connection.on("newArticle", (article: number) => article);
    // @ts-expect-error more arguments than there are
    connection.on("tick", (extra) => extra);
    // @ts-expect-error a wrong name
    connection.off("newArticel");
  });

  test("a stream gives the one argument, or all", () => {
    expectTypeOf(connection.stream("newArticle").next).returns.resolves.toEqualTypeOf<
      IteratorResult<Article, undefined>
    >();
    const both = connection.stream("moved");
    expectTypeOf(both.next).returns.resolves.toEqualTypeOf<
      IteratorResult<[player: string, x: number], undefined>
    >();
    // @ts-expect-error a lifecycle event is no stream
    connection.stream("gap");
  });

  test("lifecycle events have theirs", () => {
    connection.on("gap", (gap) => expectTypeOf(gap).toEqualTypeOf<Gap>());
    connection.on("replayed", (count) => expectTypeOf(count).toEqualTypeOf<number>());
    connection.on("error", (error) => expectTypeOf(error).toEqualTypeOf<Error>());
    connection.on("resynced", (snapshot) => expectTypeOf(snapshot.articles).toEqualTypeOf<Article[]>());
    connection.onStatusChange((status) => expectTypeOf(status).toEqualTypeOf<Status>());
    expectTypeOf(connection.snapshot).toEqualTypeOf<{ articles: Article[] } | undefined>();
  });

  test("actions have their arguments and results, on connections and on handles", () => {
    const handle = client.newsRoom.getForId("1");
    const article: Article = { id: "1", level: "public" };
    for (const target of [connection, handle]) {
      expectTypeOf(target.publishArticle(article)).resolves.toEqualTypeOf<Article>();
      expectTypeOf(target.search("x")).resolves.toEqualTypeOf<Article[]>();
      expectTypeOf(target.call("search", ["x", 3])).resolves.toEqualTypeOf<Article[]>();
    }
    // @ts-expect-error a wrong argument
    connection.publishArticle({ id: 1, level: "public" });
    // @ts-expect-error a missing argument
    connection.search();
    // @ts-expect-error no such action
    connection.publish(article);
    // @ts-expect-error no such action
    handle.call("publish", []);
    // A name that is also that of a method is the method.
    expectTypeOf(connection.close()).resolves.toEqualTypeOf<void>();
  });

  test("parameters and input are checked", () => {
    const room = client.newsRoom.getOrCreate("world", { input: { title: "x" } });
    room.connect(async () => ({ user_id: "ann" }));
    // @ts-expect-error parameters are wanted
    room.connect();
    // @ts-expect-error a wrong one
    room.connect({ user_id: 1 });
    // @ts-expect-error a function that gives a wrong one
    room.connect(() => ({ user: "ann" }));
    // @ts-expect-error a wrong input
    client.newsRoom.create("world", { input: { titel: "x" } });
    client.counter.get().connect();
    // @ts-expect-error it takes none
    client.counter.get().connect({ a: 1 });
  });

  test("a handle listens for nothing", () => {
    expectTypeOf(client.newsRoom.get().on).returns.toBeNever();
  });
});

describe("without one", () => {
  const anything = createClient("http://localhost:8080");
  const loose = anything.actor("chatRoom").getOrCreate(["general"]).connect({ any: "thing" });

  test("everything is allowed", () => {
    loose.on("messageReceived", (message, more) => [message.text, more]);
    loose.on("gap", (gap) => expectTypeOf(gap).toEqualTypeOf<Gap>());
    expectTypeOf(loose.sendMessage("user-123", "Hello")).toBeAny();
    expectTypeOf(loose.status).toEqualTypeOf<Status>();
    assertType<Connection>(loose);
  });
});

test("the WebSockets that there are fit", () => {
  createClient({ url: "http://x", WebSocket: NodeWebSocket });
  createClient({ url: "http://x", WebSocket: globalThis.WebSocket });
  // @ts-expect-error a setting that does not exist
  createClient({ url: "http://x", reconectFirstMs: 1 });
});
