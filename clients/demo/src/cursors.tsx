/** A field in which everybody sees the markers of the others, and whispers to one of them. */

import { RingcastError } from "@ringcast/client";
import { type KeyboardEvent, type PointerEvent, useCallback, useEffect, useRef, useState } from "react";
import { Entry } from "./chat.js";
import { StatusMark } from "./status.js";
import { type Place, useWorld, type Whisper } from "./world.js";

const FIELD = ["field"];
/** How far an arrow key goes, of a hundred. */
const STEP = 4;
const STEPS: Record<string, Place> = {
  ArrowLeft: { x: -STEP, y: 0 },
  ArrowRight: { x: STEP, y: 0 },
  ArrowUp: { x: 0, y: -STEP },
  ArrowDown: { x: 0, y: STEP },
};
const KEPT = 20;

type Line = Whisper & { to?: string };

/** How long a name that is taken waits for its next try: a window that was reloaded may still be in the field. */
const TAKEN_AGAIN_MS = 2000;

export function Cursors({ name }: { name: string }) {
  const [tries, setTries] = useState(0);
  const again = useCallback(() => setTries((count) => count + 1), []);
  return <Game key={tries} name={name} onTaken={again} />;
}

function Game({ name, onTaken }: { name: string; onTaken(): void }) {
  const { startAt, useActor } = useWorld();
  const game = useActor({ name: "gameRoom", key: FIELD, params: { player_id: name } });
  const [places, setPlaces] = useState<Record<string, Place>>({});
  const [whispers, setWhispers] = useState<Line[]>([]);
  const move = useMove((place) => game.connection?.move(place));

  const isTaken = game.error instanceof RingcastError && game.error.code === "player_taken";
  useEffect(() => {
    if (!isTaken) return;
    const timer = setTimeout(onTaken, TAKEN_AGAIN_MS);
    return () => clearTimeout(timer);
  }, [isTaken, onTaken]);

  const put = (player: string, place: Place) => setPlaces((all) => ({ ...all, [player]: place }));
  game.useEvent("resynced", ({ places }) => setPlaces(places));
  game.useEvent("playerJoined", (player) => {
    // In the corner, for everybody, until the newcomer has moved.
    if (player === name) go(startAt());
    else put(player, { x: 0, y: 0 });
  });
  game.useEvent("playerLeft", (player) => setPlaces(({ [player]: _, ...others }) => others));
  game.useEvent("playerMoved", ({ player_id, place }) => put(player_id, place));
  game.useEvent("privateMessage", (whisper) => addLine(whisper));
  const addLine = (line: Line) => setWhispers((all) => [...all, line].slice(-KEPT));

  const go = (place: Place) => {
    const within = { x: within100(place.x), y: within100(place.y) };
    put(name, within);
    move(within);
  };
  // Shown below, by the status.
  game.useEvent("error", () => {});
  const whisper = async (to: string, text: string) => {
    await game.connection?.sendPrivateMessage(to, text);
    addLine({ sender: name, to, text });
  };

  const others = Object.keys(places).filter((player) => player !== name);
  return (
    <section className="cursors" aria-labelledby="cursors-title">
      <div className="title">
        <h2 id="cursors-title">Cursors</h2>
        <StatusMark status={game.status} of="the field" />
      </div>
      {game.status === "closed" && (
        <p role="alert">
          {game.error?.message ?? "The connection has ended."} Trying again; or take another name above.
        </p>
      )}
      <Field name={name} places={places} onGo={go} />
      <Whispers others={others} lines={whispers} onWhisper={whisper} />
    </section>
  );
}

interface FieldProps {
  name: string;
  places: Record<string, Place>;
  onGo(place: Place): void;
}

function Field({ name, places, onGo }: FieldProps) {
  const point = (event: PointerEvent<HTMLElement>) => {
    const { left, top, width, height } = event.currentTarget.getBoundingClientRect();
    onGo({ x: (100 * (event.clientX - left)) / width, y: (100 * (event.clientY - top)) / height });
  };
  const press = (event: KeyboardEvent) => {
    const step = STEPS[event.key];
    if (!step) return;
    event.preventDefault();
    const { x, y } = places[name] ?? { x: 0, y: 0 };
    onGo({ x: x + step.x, y: y + step.y });
  };
  return (
    // An application: its arrow keys are its own, also with a screen reader.
    <div
      className="field"
      role="application"
      aria-label="Field: move with the arrow keys or the pointer"
      // biome-ignore lint/a11y/noNoninteractiveTabindex: it is moved in with the arrow keys
      tabIndex={0}
      onPointerMove={point}
      onPointerDown={point}
      onKeyDown={press}
    >
      {Object.entries(places).map(([player, { x, y }]) => (
        <div
          key={player}
          role="img"
          aria-label={`${player} at ${Math.round(x)}, ${Math.round(y)}`}
          className="marker"
          data-me={player === name}
          data-side={x > 70 ? "left" : "right"}
          style={{ left: `${x}%`, top: `${y}%` }}
        >
          <span>{player === name ? "you" : player}</span>
        </div>
      ))}
    </div>
  );
}

interface WhispersProps {
  others: string[];
  lines: Line[];
  onWhisper(to: string, text: string): Promise<void>;
}

function Whispers({ others, lines, onWhisper }: WhispersProps) {
  const [chosen, setChosen] = useState("");
  const [problem, setProblem] = useState("");
  const to = others.includes(chosen) ? chosen : others[0];
  const send = async (text: string) => {
    setProblem("");
    try {
      if (to !== undefined) await onWhisper(to, text);
    } catch (error) {
      setProblem(`Not sent: ${(error as Error).message}`);
    }
  };
  return (
    <div className="whispers">
      {to === undefined ? (
        <p className="hint">Nobody else is here. Open this page in a second window.</p>
      ) : (
        <div className="whisper">
          <label>
            Whisper to{" "}
            <select value={to} onChange={(event) => setChosen(event.target.value)}>
              {others.map((player) => (
                <option key={player}>{player}</option>
              ))}
            </select>
          </label>
          <Entry label="Private message" onSend={send} />
        </div>
      )}
      {problem && <p role="alert">{problem}</p>}
      <ol role="log" aria-label="Private messages">
        {lines.map((line, index) => (
          <li key={index}>
            <span className="from">{line.to ? `to ${line.to}` : `from ${line.sender}`}</span>
            <span className="text">{line.text}</span>
          </li>
        ))}
      </ol>
    </div>
  );
}

/** Return a function that sends the latest place, one at a time: what is left out in between, nobody misses. */
function useMove(send: (place: Place) => Promise<unknown> | undefined): (place: Place) => void {
  const next = useRef<Place | null>(null);
  const isSending = useRef(false);
  return async (place) => {
    next.current = place;
    if (isSending.current) return;
    isSending.current = true;
    for (let now: Place | null = place; now; now = next.current) {
      next.current = null;
      try {
        await send(now);
      } catch {
        // The connection has ended, as the status says.
        break;
      }
    }
    isSending.current = false;
  };
}

function within100(value: number): number {
  return Math.min(100, Math.max(0, value));
}
