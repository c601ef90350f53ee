/** Concurrent rendering: what React renders and gives up leaves nothing behind. */

import { act, render } from "@testing-library/react";
import { type ReactNode, Suspense, startTransition, useState } from "react";
import { expect, test } from "vitest";
import { type App, until, useApps } from "./support/app.js";

const world = useApps();

interface GuestProps {
  app: App;
  room: string;
  onRender?: () => void;
  children?: ReactNode;
}

function Guest({ app, room, onRender, children }: GuestProps) {
  onRender?.();
  const door = app.useActor({ name: "door", key: [world.key, room] });
  door.useEvent("item", () => {});
  return (
    <p>
      {`${room} ${door.status}`}
      {children}
    </p>
  );
}

/** A component that is never ready to be shown. */
function Never(): never {
  throw NEVER;
}
const NEVER = new Promise(() => {});

/** Return the keys that the server has rooms of the test's name for, of those that are given. */
async function existing(rooms: string[]): Promise<string[]> {
  const found = [];
  for (const room of rooms) {
    const connection = world.near().actor("door").get([world.key, room]).connect();
    const isThere = await connection.ready().then(
      () => true,
      () => false,
    );
    if (isThere) found.push(room);
  }
  return found;
}

test("a tree that waits for ever connects to nothing", async () => {
  const app = world.app();
  const { container } = render(
    <>
      <Suspense fallback="waiting ">
        <Guest app={app} room="waited for" />
        <Never />
      </Suspense>
      <Guest app={app} room="here" />
    </>,
  );
  await until(() => container.textContent === "waiting here connected");
  expect(app.opened()).toBe(1);
  expect(await existing(["waited for", "here"])).toEqual(["here"]);
});

test("a transition that is given up for another connects to nothing", async () => {
  const app = world.app();
  let go: (room: string) => void = () => {};
  let rendered = 0;
  function Page() {
    const [room, setRoom] = useState("first");
    go = setRoom;
    return (
      <Suspense fallback="waiting">
        <Guest app={app} room={room} onRender={() => (rendered += room === "given up" ? 1 : 0)}>
          {room === "given up" && <Never />}
        </Guest>
      </Suspense>
    );
  }
  const { container } = render(<Page />);
  await until(() => container.textContent === "first connected");
  act(() => startTransition(() => go("given up")));
  expect(rendered).toBeGreaterThan(0);
  // The old page stays, connected, as long as the new one is not ready.
  expect(container.textContent).toBe("first connected");
  act(() => go("second"));
  await until(() => container.textContent === "second connected");
  await until(() => app.open() === 1);
  expect(app.opened()).toBe(2);
  expect(await existing(["first", "given up", "second"])).toEqual(["first", "second"]);
});

test("a tree that is hidden while a part of it waits keeps its connection", async () => {
  const door = await world.door();
  const app = world.app();
  let wait: (waiting: boolean) => void = () => {};
  function Part() {
    const [waiting, setWaiting] = useState(false);
    wait = setWaiting;
    return waiting ? <Never /> : null;
  }
  function Guests() {
    const { status } = app.useActor({ name: "door", key: world.key });
    return <p>{status}</p>;
  }
  const { container } = render(
    <Suspense fallback="waiting">
      <Guests />
      <Part />
    </Suspense>,
  );
  await until(() => container.textContent === "connected");
  const { here } = await door.counts();
  act(() => wait(true));
  expect(container.textContent).toContain("waiting");
  act(() => wait(false));
  expect(container.textContent).toBe("connected");
  expect(await door.counts()).toMatchObject({ connects: 2, here, left: [] });
});

test("no state is torn: all components show the same at each moment", async () => {
  const app = world.app();
  const shown = new Set<string>();
  function Pair() {
    const statuses = [0, 1, 2].map((index) => <Guest key={index} app={app} room="same" />);
    return <div>{statuses}</div>;
  }
  const { container } = render(<Pair />);
  const observer = new MutationObserver(() => shown.add(container.textContent));
  observer.observe(container, { subtree: true, childList: true, characterData: true });
  await until(() => container.textContent === "same connected".repeat(3));
  world.network.blink();
  await until(() => app.opened() === 2 && container.textContent === "same connected".repeat(3));
  observer.disconnect();
  expect([...shown].every((text) => /^(same \w+?)\1\1$/.test(text))).toBe(true);
  expect(shown.size).toBeGreaterThan(1);
});
