/** Which events are replayed: the client says how many follow, before the first of them. */

import { useRef } from "react";

interface Listens {
  useEvent(name: "replayed", handler: (count: number) => void): void;
}

/** Return a function for every handler of the actor's events to call: whether its event was missed before. */
export function useReplay(actor: Listens, onReplay: (count: number) => void = () => {}): () => boolean {
  const left = useRef(0);
  actor.useEvent("replayed", (count) => {
    left.current = count;
    onReplay(count);
  });
  return () => {
    if (left.current === 0) return false;
    left.current -= 1;
    return true;
  };
}
