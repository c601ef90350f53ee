/** Chat in several rooms, with who is there; what is said without a network waits and is sent once. */

import { type FormEvent, useEffect, useRef, useState } from "react";
import { useReplay } from "./replay.js";
import { StatusMark } from "./status.js";
import { type Message, useWorld } from "./world.js";

const ROOMS = ["general", "markets", "quiet"];
/** As many as the server's history has. */
const KEPT = 100;

interface Line extends Message {
  replayed: boolean;
}

/** Where somebody says something, and under which name. */
interface Place {
  room: string;
  name: string;
}

/** What was said and has no answer yet. */
interface Said extends Place {
  id: number;
  text: string;
}

export function Chat({ name }: { name: string }) {
  const [room, setRoom] = useState("general");
  const { waiting, problems, send } = useWaiting();
  // A room is left when all that was said there is answered, whichever room and name are chosen meanwhile.
  const shown = placeKey({ room, name });
  const places = new Map([...waiting, { room, name }].map((each) => [placeKey(each), each]));
  return (
    <section className="chat" aria-labelledby="chat-title">
      <div className="title">
        <h2 id="chat-title">Chat</h2>
        <fieldset className="choice">
          <legend className="unseen">Room</legend>
          {ROOMS.map((each) => (
            <label key={each}>
              <input type="radio" name="room" checked={room === each} onChange={() => setRoom(each)} />
              <span>{each}</span>
            </label>
          ))}
        </fieldset>
      </div>
      {[...places].map(([key, place]) => (
        <Room
          key={key}
          room={place.room}
          name={place.name}
          isShown={key === shown}
          waiting={waiting.filter((each) => placeKey(each) === key)}
          problems={problems}
          onSend={send}
        />
      ))}
    </section>
  );
}

function placeKey({ room, name }: Place): string {
  return JSON.stringify([room, name]);
}

/** What waits for an answer, and what was not sent. */
function useWaiting() {
  const [waiting, setWaiting] = useState<Said[]>([]);
  const [problems, setProblems] = useState<string[]>([]);
  const last = useRef(0);
  const send = async ({ room, name }: Place, text: string, call: () => Promise<unknown> | undefined) => {
    last.current += 1;
    const id = last.current;
    setWaiting((all) => [...all, { id, room, name, text }]);
    setProblems([]);
    try {
      const sent = call();
      if (!sent) throw new Error("there is no connection");
      await sent;
    } catch (error) {
      const why = (error as Error).message;
      setProblems((all) => [...all, `Not sent to ${room}: “${text}”. ${why}`]);
    }
    setWaiting((all) => all.filter((each) => each.id !== id));
  };
  return { waiting, problems, send };
}

interface RoomProps extends Place {
  /** It goes on without being shown while something waits there. */
  isShown: boolean;
  waiting: Said[];
  problems: string[];
  onSend(place: Place, text: string, call: () => Promise<unknown> | undefined): void;
}

function Room({ room, name, isShown, waiting, problems, onSend }: RoomProps) {
  const { useActor } = useWorld();
  const chat = useActor({ name: "chatRoom", key: [room], params: { user_id: name } });
  const [lines, setLines] = useState<Line[]>([]);
  const [present, setPresent] = useState<string[]>([]);
  const isReplayed = useReplay(chat);

  chat.useEvent("resynced", ({ messages, present }) => {
    setLines(messages.map((message) => ({ ...message, replayed: false })));
    setPresent(present);
  });
  chat.useEvent("messageReceived", (message) => {
    const line = { ...message, replayed: isReplayed() };
    setLines((all) => [...all, line].slice(-KEPT));
  });
  chat.useEvent("messageDeleted", (id) => {
    isReplayed();
    setLines((all) => all.filter((line) => line.id !== id));
  });
  chat.useEvent("presenceChanged", (names) => {
    isReplayed();
    setPresent(names);
  });

  const send = (text: string) => onSend({ room, name }, text, () => chat.connection?.sendMessage(name, text));

  if (!isShown) return null;
  return (
    <>
      <div className="present">
        <StatusMark status={chat.status} of={room} />
        <ul aria-label={`In ${room}`}>
          {present.map((each) => (
            <li key={each} data-me={each === name}>
              {each}
            </li>
          ))}
        </ul>
      </div>
      <Log room={room} name={name} lines={lines} waiting={waiting} />
      {problems.length > 0 && <p role="alert">{problems.join(" ")}</p>}
      <Entry label={`Message to ${room}`} onSend={send} />
    </>
  );
}

function Log({ room, name, lines, waiting }: { room: string; name: string; lines: Line[]; waiting: Said[] }) {
  const list = useRef<HTMLOListElement>(null);
  const count = lines.length + waiting.length;
  useEffect(() => {
    if (list.current) list.current.scrollTop = list.current.scrollHeight;
  }, [count]);
  return (
    <div className="log" role="log" aria-label={`Messages in ${room}`}>
      {count === 0 && <p className="hint">Nothing was said here yet.</p>}
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls has to be reached with the keyboard */}
      <ol ref={list} tabIndex={0}>
        {lines.map((line) => (
          <li key={line.id} data-me={line.user_id === name} data-replayed={line.replayed}>
            <span className="from">{line.user_id}</span>
            {line.replayed && <span className="mark">replayed</span>}
            <span className="text">{line.text}</span>
          </li>
        ))}
        {waiting.map(({ id, text }) => (
          <li key={`waiting ${id}`} data-me="true" data-waiting="true">
            <span className="from">{name}</span>
            <span className="mark">waiting</span>
            <span className="text">{text}</span>
          </li>
        ))}
      </ol>
    </div>
  );
}

/** One line of text to send. */
export function Entry({ label, onSend }: { label: string; onSend(text: string): void }) {
  const [draft, setDraft] = useState("");
  const submit = (event: FormEvent) => {
    event.preventDefault();
    const text = draft.trim();
    if (!text) return;
    onSend(text);
    setDraft("");
  };
  return (
    <form className="entry" onSubmit={submit}>
      <input
        aria-label={label}
        placeholder={label}
        value={draft}
        maxLength={500}
        autoComplete="off"
        onChange={(event) => setDraft(event.target.value)}
      />
      <button type="submit" disabled={!draft.trim()}>
        Send
      </button>
    </form>
  );
}
