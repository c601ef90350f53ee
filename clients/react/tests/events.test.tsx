/** Listening from components: the latest handler, one subscription, an end with the component. */

import { render } from "@testing-library/react";
import { useState } from "react";
import { flushSync } from "react-dom";
import { expect, test } from "vitest";
import { type App, until, useApps } from "./support/app.js";
import { complaints } from "./support/complaints.js";

const world = useApps();

interface Message {
  id: string;
  user_id: string;
  text: string;
}

test("the component of the guide works: it shows messages, forgets deleted ones, and sends", async () => {
  const { useActor } = world.app();
  let send = async (_text: string): Promise<Message | undefined> => undefined;
  function ChatRoom() {
    const [messages, setMessages] = useState<Message[]>([]);
    const chatRoom = useActor({ name: "chatRoom", key: [world.key] });

    chatRoom.useEvent("messageReceived", (message: Message) => setMessages((all) => [...all, message]));
    chatRoom.useEvent("messageDeleted", (id: string) =>
      setMessages((all) => all.filter((message) => message.id !== id)),
    );

    send = async (text) => chatRoom.connection?.sendMessage("user-123", text);
    return (
      <ul>
        {messages.map(({ id, user_id, text }) => (
          <li key={id}>{`${user_id}: ${text}`}</li>
        ))}
      </ul>
    );
  }
  const { container } = render(<ChatRoom />, { reactStrictMode: true });
  const first = await send("Hello everyone!");
  await send("Goodbye!");
  await until(() => container.textContent === "user-123: Hello everyone!user-123: Goodbye!");
  await world.near().actor("chatRoom").getOrCreate(world.key).connect().deleteMessage(first?.id);
  await until(() => container.textContent === "user-123: Goodbye!");
});

/** Adds what it hears to `heard`, with the number of the render whose handler it was. */
function Listener({ app, heard, number, of = "item" }: ListenerProps) {
  const door = app.useActor({ name: "door", key: world.key });
  door.useEvent(of, (item) => void heard.push([number, item]));
  return <p>{door.status}</p>;
}

interface ListenerProps {
  app: App;
  heard: unknown[];
  number: number;
  of?: string;
}

test("the handler is that of the latest render, and the server is asked once", async () => {
  const door = await world.door();
  const app = world.app();
  const heard: unknown[] = [];
  const listener = (number: number) => <Listener app={app} heard={heard} number={number} />;
  const { container, rerender } = render(listener(1));
  await until(() => container.textContent === "connected");
  await door.emit(1);
  await until(() => heard.length === 1);
  for (let number = 2; number <= 50; number += 1) rerender(listener(number));
  await door.emit(1);
  await until(() => heard.length === 2);
  expect(heard).toEqual([
    [1, 1],
    [50, 2],
  ]);
  expect((await door.counts()).asked).toEqual(["item"]);
});

test("under StrictMode each name is asked for once, and each event is heard once", async () => {
  const door = await world.door();
  const app = world.app();
  const heard: unknown[] = [];
  const { container, rerender } = render(<Listener app={app} heard={heard} number={1} />, {
    reactStrictMode: true,
  });
  await until(() => container.textContent === "connected");
  // One that mounts on a connection that is there already.
  rerender(
    <>
      <Listener key="1" app={app} heard={heard} number={2} />
      <Listener key="2" app={app} heard={heard} number={3} of="adding" />
    </>,
  );
  await until(async () => (await door.counts()).asked.length >= 2);
  await door.emit(1);
  await until(() => heard.length > 0);
  expect(heard).toEqual([[2, 1]]);
  const { connects, asked } = await door.counts();
  expect([connects, asked]).toEqual([2, ["item", "adding"]]);
});

test("who listens in the place of another misses nothing, and is not asked for again", async () => {
  const door = await world.door();
  const app = world.app();
  const heard: unknown[] = [];
  const { container, rerender } = render(<Listener key="this page" app={app} heard={heard} number={1} />);
  await until(() => container.textContent === "connected");
  const emitted = door.emit(100);
  rerender(<Listener key="the next page" app={app} heard={heard} number={2} />);
  await emitted;
  await until(() => heard.length === 100);
  expect(heard.map(([, item]: any) => item)).toEqual(Array.from({ length: 100 }, (_, index) => index + 1));
  expect((await door.counts()).asked).toEqual(["item"]);
});

test("a name that changes is left for the other; a component that is gone hears nothing", async () => {
  const door = await world.door();
  const app = world.app();
  const heard: unknown[] = [];
  const page = (of: string, isHere = true) => (
    <>
      <Listener app={app} heard={[]} number={1} />
      {isHere && <Listener app={app} heard={heard} number={2} of={of} />}
    </>
  );
  const { container, rerender } = render(page("item"));
  await until(() => container.textContent === "connected".repeat(2));
  rerender(page("adding"));
  await until(async () => (await door.counts()).asked.includes("adding"));
  await door.emit(1);
  rerender(page("item", false));
  await door.emit(1);
  // An answer comes after the events from before it.
  await door.counts();
  expect(heard).toEqual([]);
});

test("a component without the hook may listen on the connection, of which children know as well", async () => {
  const door = await world.door();
  const { useActor } = world.app();
  const heard: unknown[] = [];
  type Door = ReturnType<typeof useActor>;
  function Child({ door }: { door: Door }) {
    door.useEvent("item", (item) => heard.push(item));
    door.useEvent("connected", () => heard.push("connected"));
    return <p>{door.status}</p>;
  }
  function Parent() {
    const door = useActor({ name: "door", key: world.key });
    return <Child door={door} />;
  }
  const { container } = render(<Parent />);
  await until(() => container.textContent === "connected");
  await door.emit(1);
  await until(() => heard.length === 2);
  expect(heard).toEqual(["connected", 1]);
  // It came with the connect message, although the child's effect ran before there was a connection.
  expect(await door.counts()).toMatchObject({ asked: ["item"], connects: 2 });
});

test("a handler that throws reaches who listens for errors, and stops nothing", async () => {
  const door = await world.door();
  const { useActor } = world.app();
  const heard: unknown[] = [];
  function Thrower() {
    const door = useActor({ name: "door", key: world.key });
    door.useEvent("item", async (item) => {
      heard.push(item);
      throw new Error(`of ${item}`);
    });
    door.useEvent("error", (error) => heard.push(error.message));
    return <p>{door.status}</p>;
  }
  const { container } = render(<Thrower />);
  await until(() => container.textContent === "connected");
  await door.emit(2);
  await until(() => heard.length === 4);
  expect(heard).toEqual([1, "of 1", 2, "of 2"]);
});

test("what the actor lets nobody hear is told to who listens for errors, or to the console", async () => {
  const { useActor } = world.app();
  function Spy() {
    const room = useActor({ name: "chatRoom", key: world.key });
    room.useEvent("secret", () => {});
    return <p>{room.status}</p>;
  }
  const { container } = render(<Spy />);
  await until(() => container.textContent === "connected" && complaints.length > 0);
  expect(complaints.splice(0)).toMatchObject([["ringcast:", { code: "subscription_refused" }]]);
});

test("a component that the handler of another takes away does not hear that same event", async () => {
  const door = await world.door();
  const app = world.app();
  const heard: unknown[] = [];
  let takeAway = () => {};
  function Taker() {
    const { status, useEvent } = app.useActor({ name: "door", key: world.key });
    useEvent("item", (item) => {
      heard.push(["taker", item]);
      takeAway();
    });
    return <p>{status}</p>;
  }
  function Page() {
    const [isHere, setHere] = useState(true);
    takeAway = () => flushSync(() => setHere(false));
    return (
      <>
        <Taker />
        {isHere && <Listener app={app} heard={heard} number={2} />}
      </>
    );
  }
  const { container } = render(<Page />);
  await until(() => container.textContent === "connectedconnected");
  await door.emit(2);
  await until(() => heard.length >= 2);
  expect(heard).toEqual([
    ["taker", 1],
    ["taker", 2],
  ]);
});
