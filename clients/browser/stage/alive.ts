/** Which of the objects that a page has made are still there: what is held on to shows once garbage is collected. */

export class Alive {
  /** How many there have been. */
  made = 0;
  #refs: WeakRef<object>[] = [];
  readonly #known = new WeakSet<object>();

  /** Take note of an object; of one that is known, nothing. */
  note(object: object): void {
    if (this.#known.has(object)) return;
    this.#known.add(object);
    this.#refs.push(new WeakRef(object));
    this.made += 1;
  }

  /** How many are still there. */
  count(): number {
    this.#refs = this.#refs.filter((ref) => ref.deref() !== undefined);
    return this.#refs.length;
  }
}
