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

export function Chat({ name }: { name: string }) {
  const [room, setRoom] = useState("general");
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
      <Room key={`${room} ${name}`} room={room} name={name} />
    </section>
  );
}

function Room({ room, name }: { room: string; name: string }) {
  const { useActor } = useWorld();
  const chat = useActor({ name: "chatRoom", key: [room], params: { user_id: name } });
  const [lines, setLines] = useState<Line[]>([]);
  const [present, setPresent] = useState<string[]>([]);
  const [waiting, setWaiting] = useState<string[]>([]);
  const [problem, setProblem] = useState("");
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

  const send = async (text: string) => {
    setWaiting((all) => [...all, text]);
    setProblem("");
    try {
      await chat.connection?.sendMessage(name, text);
    } catch (error) {
      setProblem(`Not sent: ${(error as Error).message}`);
    }
    setWaiting((all) => all.toSpliced(all.indexOf(text), 1));
  };

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
      {problem && <p role="alert">{problem}</p>}
      <Entry label={`Message to ${room}`} onSend={send} />
    </>
  );
}

function Log({
  room,
  name,
  lines,
  waiting,
}: {
  room: string;
  name: string;
  lines: Line[];
  waiting: string[];
}) {
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
        {waiting.map((text, index) => (
          <li key={`waiting ${index}`} data-me="true" data-waiting="true">
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
