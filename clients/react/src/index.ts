/** React hooks for Ringcast. `createRingcast` is where everything begins; `docs/react.md` is the guide. */

export type { Actor, ActorOptions, SnapshotHook } from "./actor.js";
export { createRingcast, type Ringcast } from "./ringcast.js";
export type { ActorState } from "./shared.js";
