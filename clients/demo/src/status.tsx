/** Where a connection stands, in a word and a mark. */

import type { Status } from "@ringcast/client";

const WORDS: Record<Status, string> = {
  idle: "off",
  connecting: "connecting",
  connected: "live",
  reconnecting: "reconnecting",
  closed: "closed",
};

export function StatusMark({ status, of }: { status: Status; of: string }) {
  return (
    <p className="status" data-status={status} role="status" aria-label={`Connection to ${of}`}>
      {WORDS[status]}
    </p>
  );
}
