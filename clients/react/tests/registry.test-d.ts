/** What compiles against a registry, and what must not. */

import { type Connection, createClient, type Status } from "@ringcast/client";
import { assertType, describe, expectTypeOf, test } from "vitest";
import { type Actor, createRingcast } from "../src/index.js";

interface Article {
  id: string;
  level: "public" | "premium";
}

interface App {
  newsRoom: {
    params: { user_id: string; subscription?: "free" | "premium" };
    actions: { publishArticle(article: Article): Article };
    events: { newArticle: [article: Article]; moved: [player: string, x: number]; tick: [] };
    snapshot: { articles: Article[] };
  };
  counter: { actions: { increase(by: number): number }; events: { increased: [value: number] } };
  lobby: { params: { name: string } | undefined };
}

const { useActor } = createRingcast<App>(createClient<App>("http://localhost:8080"));
const params = { user_id: "ann" };

describe("with a registry", () => {
  test("the actors are those of the registry", () => {
    useActor({ name: "counter" });
    // @ts-expect-error no such actor
    useActor({ name: "chatRoom" });
    // @ts-expect-error no actor
    useActor({});
  });

  test("the client's registry is that of the hooks", () => {
    const client = createClient<App>("http://localhost:8080");
    const hooks = createRingcast(client);
    expectTypeOf(hooks.useActor({ name: "counter" })).toEqualTypeOf<Actor<App["counter"]>>();
    expectTypeOf(createRingcast<App>(createClient("http://localhost:8080"))).toEqualTypeOf<typeof hooks>();
    // @ts-expect-error another registry than the client's
    createRingcast<{ other: object }>(client);
  });

  test("parameters are those of the actor", () => {
    useActor({ name: "newsRoom", params });
    useActor({ name: "newsRoom", params: async () => params, key: ["world"], enabled: false });
    useActor({ name: "lobby" });
    useActor({ name: "lobby", params: { name: "ann" } });
    // @ts-expect-error parameters are wanted
    useActor({ name: "newsRoom" });
    // @ts-expect-error a wrong one
    useActor({ name: "newsRoom", params: { user_id: 1 } });
    // @ts-expect-error a function that gives a wrong one
    useActor({ name: "newsRoom", params: () => ({ user: "ann" }) });
    // @ts-expect-error it takes none
    useActor({ name: "counter", params: { a: 1 } });
    // @ts-expect-error a key is made of texts
    useActor({ name: "counter", key: [1] });
    // @ts-expect-error no such option
    useActor({ name: "counter", enable: true });
  });

  test("an event has its arguments", () => {
    const room = useActor({ name: "newsRoom", params });
    room.useEvent("newArticle", (article) => expectTypeOf(article).toEqualTypeOf<Article>());
    room.useEvent("moved", (player, x) => assertType<[string, number]>([player, x]));
    room.useEvent("tick", () => {});
    room.useEvent("gap", (gap) => expectTypeOf(gap.reason).toEqualTypeOf<string>());
    room.useEvent("resynced", (snapshot) => expectTypeOf(snapshot.articles).toEqualTypeOf<Article[]>());
    // @ts-expect-error a wrong name
    room.useEvent("newArticel", () => {});
    // @ts-expect-error an event of another actor
    room.useEvent("increased", () => {});
    // @ts-expect-error a wrong argument
    room.useEvent("newArticle", (article: number) => article);
    // @ts-expect-error more arguments than there are
    room.useEvent("tick", (extra) => extra);
    // @ts-expect-error no handler
    room.useEvent("tick");
  });

  test("the connection is that of the actor, if there is one", () => {
    const { connection, status, error } = useActor({ name: "newsRoom", params });
    expectTypeOf(connection).toEqualTypeOf<Connection<App["newsRoom"]> | null>();
    expectTypeOf(status).toEqualTypeOf<Status>();
    expectTypeOf(error).toEqualTypeOf<Error | null>();
    // @ts-expect-error there may be none
    connection.publishArticle({ id: "1", level: "public" });
    // @ts-expect-error a wrong argument
    connection?.publishArticle({ id: 1, level: "public" });
    // @ts-expect-error no such action
    connection?.publish();
  });

  test("snapshots are of actors that give them", () => {
    const room = useActor({ name: "newsRoom", params });
    expectTypeOf(room.useSnapshot()).toEqualTypeOf<{ articles: Article[] } | undefined>();
    // @ts-expect-error it gives none
    useActor({ name: "counter" }).useSnapshot();
  });

  test("what it returns is not changed", () => {
    const room = useActor({ name: "counter" });
    // @ts-expect-error read only
    room.status = "closed";
  });
});

test("without one, everything is allowed", () => {
  const loose = createRingcast(createClient("http://localhost:8080")).useActor({
    name: "chatRoom",
    key: "general",
    params: { any: "thing" },
  });
  loose.useEvent("messageReceived", (message, more) => [message.text, more]);
  loose.useEvent("gap", (gap) => expectTypeOf(gap.reason).toEqualTypeOf<string>());
  expectTypeOf(loose.useSnapshot()).toBeAny();
  expectTypeOf(loose.status).toEqualTypeOf<Status>();
  loose.connection?.sendMessage("user-123", "Hello");
});
