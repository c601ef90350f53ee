/** Listening for an event from a component. */

import { useEffect } from "react";
import { useLatest } from "./latest.js";
import type { Sharing } from "./sharing.js";
import type { Target } from "./target.js";

/** Run the `handler` of the latest render for every event `name`, while mounted. */
export function useEvent(
  sharing: Sharing,
  target: Target | null,
  name: string,
  handler: (...args: any[]) => unknown,
): void {
  const latest = useLatest(handler, [target, name]);
  // A use of its own, since the effects of children run before their parents': whoever is the first makes the
  // connection, and all names that are added in the same turn travel with its connect message.
  useEffect(
    () => (target ? sharing.listen(target, name, (...args) => latest.current(...args)) : undefined),
    [sharing, target, name, latest],
  );
}
