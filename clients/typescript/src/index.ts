/** The client of Ringcast. `createClient` is where everything begins; `docs/typescript.md` is the guide. */

export { type ActorAccess, type Client, createClient, type Key } from "./client.js";
export { type Codec, json, type Payload } from "./codec.js";
export type { ClientOptions, Settings } from "./config.js";
export type { CallOptions, Connection } from "./connection.js";
export { type ErrorCode, RingcastError } from "./errors.js";
export { type Filter, type Where, where } from "./filter.js";
export type { ActorHandle } from "./handle.js";
export type { Status } from "./lifecycle.js";
export type { Gap } from "./protocol.js";
export type {
  ActionArgs,
  ActionName,
  ActionResult,
  ActorEventName,
  ActorType,
  ConnectArgs,
  CreateOptions,
  EventArgs,
  EventFilter,
  EventName,
  LifecycleEvents,
  Params,
  RegistryType,
  Snapshot,
} from "./registry.js";
export type { EventStream } from "./stream.js";
export type { Receiver, Socket, Transport, WebSocketConstructor, WebSocketLike } from "./transport.js";
