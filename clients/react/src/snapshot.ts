/** The snapshot that an actor gave, as a value of a component. */

import { useCallback, useSyncExternalStore } from "react";
import type { Sharing } from "./sharing.js";
import type { Target } from "./target.js";

/** Return the latest snapshot, undefined before the first one; a new one is a new render. */
export function useSnapshot(sharing: Sharing, target: Target | null): unknown {
  const subscribe = useCallback(
    (watcher: () => void) => (target ? sharing.listen(target, "resynced", () => watcher()) : () => {}),
    [sharing, target],
  );
  return useSyncExternalStore(
    subscribe,
    () => sharing.state(target).connection?.snapshot,
    () => undefined,
  );
}
