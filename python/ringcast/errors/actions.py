"""Why a call did not give a result, and the text that takes the place of an unexpected exception's."""

from __future__ import annotations

from .base import RingcastError

__all__ = [
    "MASKED",
    "ActionError",
    "ActionTimeout",
    "CallRefused",
    "InternalError",
    "MessageTooBig",
    "OutcomeUnknown",
    "RateLimited",
    "ReplyTooLarge",
    "TooManyCalls",
    "UnknownAction",
    "ValidationError",
]


class ActionError(RingcastError):
    """A call did not give a result."""


class UnknownAction(ActionError):
    code = "unknown_action"


class CallRefused(ActionError):
    """The actor does not allow this call; it did not run."""

    code = "call_refused"


class ValidationError(ActionError):
    """An argument, a parameter or an input does not fit its annotation; the message names it."""

    code = "validation_error"


class ActionTimeout(ActionError):
    code = "action_timeout"


class InternalError(ActionError):
    """The action raised something other than `UserError`. The text stays in the server's log."""

    code = "internal_error"


class MessageTooBig(ActionError):
    """The request is longer than a message that the server takes; it did not run."""

    code = "message_too_big"


class ReplyTooLarge(ActionError):
    """The action ran, and its result is larger than a client takes."""

    code = "reply_too_large"


class TooManyCalls(ActionError):
    """Too many calls of this connection run already; this one did not run."""

    code = "too_many_calls"


class RateLimited(ActionError):
    """This connection asks too much a second; this request did not run.

    `metadata` has `retry_after_ms`, when the next one may.
    """

    code = "rate_limited"


class OutcomeUnknown(ActionError):
    """The call was sent, and the session that would have its result is gone: it ran once or not at all."""

    code = "outcome_unknown"


MASKED = "internal error"
"""What a client reads instead of the text of an unexpected exception."""
