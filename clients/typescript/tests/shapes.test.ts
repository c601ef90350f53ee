/** The shapes of client code that users know, each as they would write it: one test for each. */

import { expect, test } from "vitest";
import { createClient, RingcastError } from "../src/index.js";
import { IMPATIENT, TRANSPORT, until, useWorld } from "./support/world.js";

interface Message {
  id: string;
  user_id: string;
  text: string;
}

interface App {
  chatRoom: {
    actions: {
      sendMessage(userId: string, text: string): Message;
      deleteMessage(messageId: string): void;
      say(...data: unknown[]): void;
    };
    events: {
      messageReceived: [message: Message];
      messageDeleted: [messageId: string];
      said: [text: string];
    };
  };
  gameRoom: {
    params: { player_id: string; role?: "player" | "spectator" };
    actions: { startGame(): void; move(x: number, y: number): void; whoAmI(): { params: unknown } };
    events: { gameStarted: []; playerMoved: [playerId: string, place: { x: number; y: number }] };
  };
}

const world = useWorld();
const app = (url: string) => createClient<App>({ url, ...IMPATIENT, transport: TRANSPORT });

test("basic subscription", async () => {
  const client = app(world.server.url);
  const chatRoom = client.chatRoom.getOrCreate(["general"]);
  const connection = chatRoom.connect();
  const shown: string[] = [];
  connection.on("messageReceived", (message) => shown.push(`${message.user_id}: ${message.text}`));
  connection.on("messageDeleted", (messageId) => shown.push(`message ${messageId} was deleted`));
  const { id } = await connection.sendMessage("user-123", "Hello everyone!");
  await connection.deleteMessage(id);
  expect(shown).toEqual(["user-123: Hello everyone!", `message ${id} was deleted`]);
  await client.close();
});

test("one-time listeners", async () => {
  const client = app(world.server.url);
  const connection = client.gameRoom.getOrCreate(["room-456"]).connect({ player_id: "ann" });
  const other = client.gameRoom.getOrCreate(["room-456"]).connect({ player_id: "bob" });
  const seen: string[] = [];
  connection.once("gameStarted", () => seen.push("started"));
  connection.on("playerMoved", (playerId, { x, y }) => seen.push(`${playerId} ${x} ${y}`));
  await connection.ready();
  await other.startGame();
  await other.startGame();
  await other.move(1, 2);
  await until(() => seen.length === 2);
  expect(seen).toEqual(["started", "bob 1 2"]);
  await client.close();
});

test("removing listeners", async () => {
  const client = app(world.server.url);
  const connection = client.chatRoom.getOrCreate(["removing"]).connect();
  const seen: string[] = [];
  const messageHandler = (message: Message) => seen.push(message.text);
  connection.on("messageReceived", messageHandler);
  await connection.sendMessage("ann", "heard");
  connection.off("messageReceived", messageHandler);
  connection.on("messageReceived", messageHandler);
  connection.off("messageReceived");
  connection.on("messageReceived", messageHandler);
  connection.off();
  await connection.sendMessage("ann", "not heard");
  expect(seen).toEqual(["heard"]);
  await client.close();
});

test("lifecycle events", async () => {
  const client = app(world.network.url);
  const connection = client.chatRoom.getOrCreate(["lifecycle"]).connect();
  const seen: string[] = [];
  connection.on("connected", () => seen.push("connected"));
  connection.on("disconnected", () => seen.push("disconnected"));
  connection.on("reconnected", () => seen.push("reconnected"));
  connection.on("error", (error) => seen.push(error.message));
  connection.on("said", (text) => {
    throw new Error(`no use for ${text}`);
  });
  await connection.ready();
  world.network.cut();
  await until(() => seen.length === 2);
  world.network.restore();
  await until(() => seen.length === 3);
  await connection.say("this");
  await until(() => seen.length === 4);
  expect(seen).toEqual(["connected", "disconnected", "reconnected", "no use for this"]);
  await client.close();
});

test("events that are buffered during a disconnection", async () => {
  const client = app(world.network.url);
  const connection = client.chatRoom.getOrCreate(["buffered"]).connect();
  const seen: string[] = [];
  connection.on("replayed", (count) => seen.push(`${count} missed`));
  connection.on("said", (text) => seen.push(text));
  await connection.ready();
  world.network.cut();
  const room = app(world.server.url).chatRoom.getOrCreate(["buffered"]);
  for (const text of ["one", "two"]) await room.say(text);
  world.network.restore();
  await until(() => seen.length === 3);
  expect(seen).toEqual(["2 missed", "one", "two"]);
  await client.close();
});

test("connection parameters", async () => {
  const client = app(world.server.url);
  const params = { player_id: "user-123", role: "spectator" } as const;
  const connection = client.gameRoom.getOrCreate(["competitive-room"]).connect(params);
  expect(await connection.whoAmI()).toMatchObject({ params });
  await client.close();
});

test("conditional handling", async () => {
  const client = app(world.server.url);
  const connection = client.chatRoom.getOrCreate(["conditional"]).connect();
  const mine: string[] = [];
  connection.on("messageReceived", (message) => {
    if (message.user_id === "me") mine.push(message.text);
  });
  await connection.sendMessage("you", "a");
  await connection.sendMessage("me", "b");
  expect(mine).toEqual(["b"]);
  await client.close();
});

test("errors", async () => {
  const client = app(world.server.url);
  const connection = client.chatRoom.getOrCreate(["errors"]).connect();
  try {
    await connection.deleteMessage("none");
    expect.unreachable();
  } catch (error) {
    if (!(error instanceof RingcastError)) throw error;
    expect([error.code, error.metadata]).toEqual(["no_such_message", { id: "none" }]);
  }
  expect(() => client.chatRoom.getOrCreate(["errors"]).on()).toThrow("handle.connect()");
  await client.close();
});
