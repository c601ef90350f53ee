"""A chat room: what one client says goes to everyone who listens."""

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


class ChatRoom(Actor[Chat]):
    """`messageReceived` carries a message, `messageDeleted` the id of one."""

    class Events:
        messageReceived: Message
        messageDeleted: str

    @action
    def send_message(self, c: Context[Chat], user_id: str, text: str) -> Message:
        message = Message(id=uuid4().hex, user_id=user_id, text=text, sent_at=time.time())
        c.state.messages.append(message)
        del c.state.messages[:-KEPT_MESSAGES]
        c.broadcast("messageReceived", message)
        return message

    @action
    def delete_message(self, c: Context[Chat], message_id: str) -> None:
        for index, message in enumerate(c.state.messages):
            if message.id == message_id:
                del c.state.messages[index]
                c.broadcast("messageDeleted", message_id)
                return
        raise UserError(f"there is no message {message_id}", code="no_such_message")

    @action
    def history(self, c: Context[Chat]) -> list[Message]:
        return c.state.messages
