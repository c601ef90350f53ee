/**
 * Where a client is in its actor's stream of events: pure.
 *
 * A position is a pair. It changes as a pair when a connection starts and moves by its offset only, so that a
 * new epoch is never paired with an offset of an old one.
 */

/** The epoch and the offset up to which this client has seen everything it was entitled to. */
export class Position {
  /** Null before the first connect answer. */
  epoch: string | null = null;
  offset = 0;

  /** Take the position that a connection starts from. */
  begin(epoch: string, offset: number): void {
    // A server that starts further back sends again what was seen already: whoever takes events drops that.
    this.offset = epoch === this.epoch ? Math.max(this.offset, offset) : offset;
    this.epoch = epoch;
  }

  /** Move past events up to `last`, where it is known: handled, lost, or not for this client. */
  skip(last: number | null | undefined): void {
    this.offset = Math.max(this.offset, last ?? 0);
  }
}
