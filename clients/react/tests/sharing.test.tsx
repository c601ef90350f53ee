/** One connection for all components that mean the same, closed after the last of them. */

import { act, render } from "@testing-library/react";
import { StrictMode, useState } from "react";
import { expect, test } from "vitest";
import { type App, until, useApps } from "./support/app.js";

const world = useApps();

/** Shows the status of a connection to the door of this test. */
function Guest({
  app,
  ...options
}: {
  app: App;
  keyed?: string | string[];
  params?: any;
  enabled?: boolean;
}) {
  const { keyed = world.key, params, enabled } = options;
  const { status, connection } = app.useActor({ name: "door", key: keyed, params, enabled });
  return <p>{`${status} ${connection?.id ?? "nobody"};`}</p>;
}

test("components with equal keys and parameters, whichever objects they are, have one connection", async () => {
  const door = await world.door();
  const app = world.app();
  const { container } = render(
    <>
      <Guest app={app} params={{ a: 1, b: [{ c: 2, d: undefined }] }} />
      <Guest app={app} keyed={[world.key]} params={{ b: [{ c: 2 }], a: 1 }} />
    </>,
  );
  await until(() => /^(connected \S+;){2}$/.test(container.textContent));
  const { connects, here } = await door.counts();
  expect([connects, here.length, app.opened()]).toEqual([2, 1, 1]);
  expect(container.textContent).toBe(`connected ${here[0]};`.repeat(2));
});

test("other keys or parameters are another connection", async () => {
  const door = await world.door();
  const app = world.app();
  const { container } = render(
    <>
      {[undefined, { a: 1 }, { a: "1" }, { a: [1] }, { a: { 0: 1 } }].map((params) => (
        <Guest key={`${JSON.stringify(params)}`} app={app} params={params} />
      ))}
      <Guest app={app} keyed={[world.key, "other"]} />
    </>,
  );
  await until(() => /^(connected \S+;){6}$/.test(container.textContent));
  expect((await door.counts()).here).toHaveLength(5);
  expect(app.opened()).toBe(6);
});

test("it is closed when the last component is gone, not before", async () => {
  const door = await world.door();
  const app = world.app();
  const two = (first: boolean, second: boolean) => (
    <>
      {first && <Guest app={app} />}
      {second && <Guest app={app} />}
    </>
  );
  const { container, rerender } = render(two(true, true));
  await until(() => /^(connected \S+;){2}$/.test(container.textContent));
  const { here } = await door.counts();
  rerender(two(false, true));
  rerender(two(true, true));
  rerender(two(true, false));
  expect(container.textContent).toBe(`connected ${here[0]};`);
  expect(await door.counts()).toMatchObject({ here, left: [] });
  rerender(two(false, false));
  await until(async () => (await door.counts()).left.length === 1);
  expect(await door.counts()).toMatchObject({ connects: 2, here: [], left: here });
  await until(() => app.open() === 0);
});

test("who comes as the last one goes takes its connection over", async () => {
  const door = await world.door();
  const app = world.app();
  const { container, rerender } = render(<Guest key="this page" app={app} />);
  await until(() => container.textContent.startsWith("connected"));
  const { here } = await door.counts();
  rerender(<Guest key="the next page" app={app} />);
  expect(container.textContent).toBe(`connected ${here[0]};`);
  expect(await door.counts()).toMatchObject({ connects: 2, here, left: [] });
});

test("under StrictMode there is one connection too, and none after it", async () => {
  const door = await world.door();
  const app = world.app();
  let renders = 0;
  let mounts = 0;
  function Strict() {
    renders += 1;
    // What StrictMode does twice.
    useState(() => (mounts += 1));
    return <Guest app={app} />;
  }
  const { container, unmount } = render(<Strict />, { reactStrictMode: true });
  expect([renders, mounts]).toEqual([2, 2]);
  await until(() => container.textContent.startsWith("connected"));
  expect(await door.counts()).toMatchObject({ connects: 2, left: [] });
  expect(app.opened()).toBe(1);
  unmount();
  await until(async () => (await door.counts()).left.length === 1);
  expect(await door.counts()).toMatchObject({ connects: 2, here: [] });
});

test("StrictMode around a part, which mounts late, connects once", async () => {
  const door = await world.door();
  const app = world.app();
  const page = (more: boolean) => (
    <StrictMode>
      <Guest app={app} />
      {more && <Guest app={app} params={{ a: 1 }} />}
    </StrictMode>
  );
  const { container, rerender } = render(page(false));
  await until(() => container.textContent.startsWith("connected"));
  rerender(page(true));
  await until(() => /^(connected \S+;){2}$/.test(container.textContent));
  expect(await door.counts()).toMatchObject({ connects: 3, left: [] });
  expect(app.opened()).toBe(2);
});

test("another key, other parameters and `enabled` move a component from one connection to another", async () => {
  const door = await world.door();
  const app = world.app();
  const { container, rerender } = render(<Guest app={app} params={{ a: 1 }} />);
  const shows = (pattern: RegExp) => until(() => pattern.test(container.textContent));
  await shows(/^connected \S+;$/);
  const [first] = (await door.counts()).here;

  rerender(<Guest app={app} params={{ a: 1 }} />);
  expect(container.textContent).toBe(`connected ${first};`);
  rerender(<Guest app={app} params={{ a: 2 }} />);
  await until(async () => (await door.counts()).left.length === 1);
  await shows(/^connected \S+;$/);
  const [second] = (await door.counts()).here;
  expect(await door.counts()).toMatchObject({ connects: 3, left: [first], here: [second] });

  rerender(<Guest app={app} params={{ a: 2 }} enabled={false} />);
  expect(container.textContent).toBe("idle nobody;");
  await until(async () => (await door.counts()).left.length === 2);
  expect(await door.counts()).toMatchObject({ connects: 3, here: [] });

  rerender(<Guest app={app} params={{ a: 2 }} enabled={true} />);
  await shows(/^connected \S+;$/);
  rerender(<Guest app={app} keyed={[world.key, "other"]} params={{ a: 2 }} />);
  await until(async () => (await door.counts()).left.length === 3);
  await shows(/^connected \S+;$/);
  expect(await door.counts()).toMatchObject({ connects: 4, here: [] });
});

test("what is not enabled from the start makes no connection", async () => {
  const app = world.app();
  const { container } = render(
    <>
      <Guest app={app} enabled={false} />
      <Guest app={app} params={{ a: 1 }} />
    </>,
  );
  await until(() => /^idle nobody;connected \S+;$/.test(container.textContent));
  expect(app.opened()).toBe(1);
});

test("a function that gives parameters is asked for each connect, in its latest form, and makes no other connection", async () => {
  const app = world.app();
  const asked: number[] = [];
  let again = () => {};
  function Player() {
    const [token, setToken] = useState(1);
    again = () => setToken(token + 1);
    const { status, connection } = app.useActor({
      name: "gameRoom",
      key: world.key,
      params: async () => {
        asked.push(token);
        return { player_id: `ann ${token}` };
      },
    });
    return <p>{`${token} ${status} ${connection?.id}`}</p>;
  }
  const { container } = render(<Player />);
  await until(() => container.textContent.startsWith("1 connected"));
  act(() => again());
  act(() => again());
  expect(container.textContent).toMatch(/^3 connected/);
  expect([asked, app.opened()]).toEqual([[1], 1]);
  world.network.blink();
  await until(() => asked.length === 2 && container.textContent.startsWith("3 connected"));
  expect([asked, app.opened()]).toEqual([[1, 3], 2]);
});

test("the same function is one connection, another function another one", async () => {
  const door = await world.door();
  const app = world.app();
  const one = () => ({ a: 1 });
  const other = () => ({ a: 1 });
  const { container, rerender } = render(
    <>
      <Guest app={app} params={one} />
      <Guest app={app} params={one} />
      <Guest app={app} params={other} />
    </>,
  );
  await until(() => /^(connected \S+;){3}$/.test(container.textContent));
  expect((await door.counts()).here).toHaveLength(2);
  // From a value to a function, of which there is a new one in each render.
  const settles = (left: number) =>
    until(
      async () => (await door.counts()).left.length === left && container.textContent.startsWith("connected"),
    );
  rerender(<Guest app={app} params={{ a: 1 }} />);
  await settles(2);
  rerender(<Guest app={app} params={() => ({ a: 1 })} />);
  await settles(3);
  for (let round = 0; round < 20; round += 1) rerender(<Guest app={app} params={() => ({ a: 1 })} />);
  expect(await door.counts()).toMatchObject({ connects: 5, left: { length: 3 }, here: { length: 1 } });
  expect(app.opened()).toBe(4);
});
