/**
 * What changes with each render, in a place that stays: what layout effects, which run before others, find
 * there.
 */

import { act, render } from "@testing-library/react";
import { Suspense, startTransition, useLayoutEffect } from "react";
import { expect, test } from "vitest";
import { type Latest, useLatest } from "../src/latest.js";

interface HolderProps {
  room: string;
  text: string;
  isReady?: boolean;
}

const NEVER = new Promise(() => {});

test("a place has the latest value on screen; one whose time is over keeps the last that was meant for it", () => {
  const places: Latest<string>[] = [];
  const found: string[][] = [];
  function Holder({ room, text, isReady = true }: HolderProps) {
    const latest = useLatest(text, [room]);
    useLayoutEffect(() => {
      if (!places.includes(latest)) places.push(latest);
      found.push(places.map((place) => place.current));
    });
    if (!isReady) throw NEVER;
    return null;
  }
  const page = (props: HolderProps) => (
    <Suspense fallback="waiting">
      <Holder {...props} />
    </Suspense>
  );
  const { rerender } = render(page({ room: "a", text: "one" }));
  rerender(page({ room: "a", text: "two" }));
  // Rendered, and never shown.
  act(() => startTransition(() => rerender(page({ room: "a", text: "given up", isReady: false }))));
  expect(places[0]?.current).toBe("two");
  rerender(page({ room: "b", text: "three" }));
  rerender(page({ room: "b", text: "four" }));
  expect(found).toEqual([["one"], ["two"], ["two", "three"], ["two", "four"]]);
});
