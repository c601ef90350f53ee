/** What changes with each render, in a place that stays the same. */

import { useInsertionEffect, useMemo } from "react";

/** Holds the value of the latest render that is on screen. */
export interface Latest<T> {
  current: T;
}

/**
 * Return a place for `value`, another one whenever `deps` change: the old one keeps what it had.
 *
 * For effects and whatever they hand it to, not for rendering. What was rendered and given up never gets into
 * it. (Since 19.2, React has `useEffectEvent`, which knows of no `deps`: an event of the room that is being
 * left would run the handler that was written for the next one.)
 */
export function useLatest<T>(value: T, deps: readonly unknown[]): Latest<T> {
  const latest = useMemo(() => ({ current: value }), deps);
  // Before every other effect, so that none of them finds the value before.
  useInsertionEffect(() => {
    latest.current = value;
  });
  return latest;
}
