/** Which connection a component means, from one render to the next. */

import type { Key } from "@ringcast/client";
import { useMemo, useState } from "react";
import { identityOf } from "./identity.js";
import { type Latest, useLatest } from "./latest.js";

/** A connection that is meant. */
export interface Target {
  /** Equal for those that mean the same connection. */
  readonly identity: string;
  readonly name: string;
  readonly key: Key;
  /** A value, or the function of the latest render that means this connection. */
  readonly params: Latest<unknown>;
}

/**
 * Return the target of this render, null if not `enabled`: the same object for as long as the same is meant.
 */
export function useTarget(name: string, key: Key, params: unknown, enabled: boolean): Target | null {
  const identity = identityOf(name, key, usePinned(params));
  const latest = useLatest(params, [identity]);
  // The identity stands for the name and the key.
  const target = useMemo(() => ({ identity, name, key, params: latest }), [identity, latest]);
  return enabled ? target : null;
}

/**
 * Return `params`; for a function, the one that was the first.
 *
 * A function that is written into the component is another one in each render. Were each of them a new
 * connection, whose status is a new render, there would be no end to them.
 */
function usePinned(params: unknown): unknown {
  const [pinned, setPinned] = useState(() => params);
  if (typeof params !== "function") return params;
  if (typeof pinned === "function") return pinned;
  setPinned(() => params);
  return params;
}
