"""A chat room: what one client says goes to everyone who listens, and everyone sees who is there."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Final
from uuid import uuid4

from ringcast import Actor, Context, UserError, action

__all__ = ["ChatRoom"]

KEPT_MESSAGES: Final = 100
"""How many messages `history` goes back; a demo's state must not grow for ever."""


@dataclass
class Message:
    id: str
    user_id: str
    text: str
    sent_at: float
    """Seconds since the epoch of Unix."""


@dataclass
class Chat:
    messages: list[Message] = field(default_factory=list)


@dataclass
class Guest:
    """What a client may connect with: who says nothing is not shown to the others."""

    user_id: str | None = None


@dataclass
class ChatView:
    """All that a client needs to show the room."""

    messages: list[Message]
    present: list[str]


class ChatRoom(Actor[Chat, Guest]):
    """`messageReceived` carries a message, `messageDeleted` the id of one, `presenceChanged` who is there."""

    class Events:
        messageReceived: Message
        messageDeleted: str
        presenceChanged: list[str]

    def on_connect(self, c: Context[Chat, Guest]) -> None:
        if c.conn.state.user_id is not None:
            # The connections have this one once the hook has let it in.
            c.broadcast("presenceChanged", sorted({*_present(c), c.conn.state.user_id}))

    def on_disconnect(self, c: Context[Chat, Guest]) -> None:
        # A client that has lost its network is there until its session ends.
        if c.conn.state.user_id is not None:
            c.broadcast("presenceChanged", _present(c))

    def snapshot(self, c: Context[Chat, Guest]) -> ChatView:
        return ChatView(c.state.messages, _present(c))

    @action
    def send_message(self, c: Context[Chat, Guest], user_id: str, text: str) -> Message:
        message = Message(id=uuid4().hex, user_id=user_id, text=text, sent_at=time.time())
        c.state.messages.append(message)
        del c.state.messages[:-KEPT_MESSAGES]
        c.broadcast("messageReceived", message)
        return message

    @action
    def delete_message(self, c: Context[Chat, Guest], message_id: str) -> None:
        for index, message in enumerate(c.state.messages):
            if message.id == message_id:
                del c.state.messages[index]
                c.broadcast("messageDeleted", message_id)
                return
        raise UserError(f"there is no message {message_id}", code="no_such_message")

    @action
    def history(self, c: Context[Chat, Guest]) -> list[Message]:
        return c.state.messages


def _present(c: Context[Chat, Guest]) -> list[str]:
    """Return who is there, each once: several windows of one person are one guest."""
    return sorted({conn.state.user_id for conn in c.conns if conn.state.user_id is not None})
