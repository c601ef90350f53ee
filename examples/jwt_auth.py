"""Who may come in: tokens (JWT) that expire and are renewed, calls with a header, and tickets for URLs.

It runs by itself: a server, and its clients. It needs PyJWT: `pip install pyjwt`.
"""

import asyncio
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import jwt

from ringcast import Actor, Client, Context, MemoryStore, Registry, Tickets, action
from ringcast.errors import Forbidden, RingcastError, Unauthorized
from ringcast.server.serve import serving


class Verifier:
    """Checks tokens. Raises `Unauthorized` for whatever is wrong with one, and says nothing of it.

    One algorithm, chosen here: never the one that a token names. `audience` and an end are required, so that
    a token for another service, or one without an end, is none.
    """

    def __init__(self, key: str, audience: str, algorithms: Sequence[str] = ("HS256",)) -> None:
        self._key, self._audience, self._algorithms = key, audience, list(algorithms)

    def user_of(self, token: object) -> str:
        """Return who a token is for."""
        try:
            claims: dict[str, Any] = jwt.decode(
                token if isinstance(token, str) else "",
                self._key,
                algorithms=self._algorithms,
                audience=self._audience,
                options={"require": ["exp", "aud", "sub"]},
            )
        except jwt.InvalidTokenError:
            raise Unauthorized("the token is not valid, or no longer") from None
        return str(claims["sub"])

    def user_of_header(self, value: str) -> str:
        """Return who an `Authorization` header is for."""
        scheme, _, token = value.partition(" ")
        return self.user_of(token if scheme.lower() == "bearer" else "")


class Issuer:
    """Stands for whoever signs users in, which is elsewhere; with a key pair, only that one could sign."""

    def __init__(self, key: str, audience: str) -> None:
        self._key, self._audience = key, audience
        self.issued = 0

    def token(self, user: str, lifetime_s: float = 60) -> str:
        self.issued += 1
        claims = {"sub": user, "aud": self._audience, "exp": int(time.time() + lifetime_s)}
        return jwt.encode(claims, self._key, algorithm="HS256")


KEY, AUDIENCE = secrets.token_hex(32), "lounge"
VERIFIER = Verifier(KEY, AUDIENCE)
TICKETS: Tickets[str] = Tickets(lifetime_s=20)
BANNED = {"mallory"}


@dataclass
class Member:
    name: str


class Lounge(Actor[None, Member]):
    """A room for those with a token."""

    def on_before_connect(self, c: Context[None, Member], params: Any) -> None:
        # It is asked before each call without a connection, too. Of connections the hook below sees to it: a
        # ticket is good once. A room that somebody is the first to name is stored when both have let it in.
        if c.request.transport == "http" and caller(c) in BANNED:
            raise Forbidden(f"{caller(c)} may not come in")

    def create_conn_state(self, c: Context[None, Member], params: dict[str, str] | None) -> Member:
        # The parameters are sent in a message, the ticket stands in a URL. Neither gets into a log of ours.
        if ticket := c.request.query.get("ticket"):
            user = TICKETS.take(ticket)
        else:
            user = VERIFIER.user_of((params or {}).get("token"))
        if user in BANNED:
            raise Forbidden(f"{user} may not come in")
        return Member(user)

    @action
    def who_am_i(self, c: Context[None, Member]) -> str:
        # A call without a connection has no state: its request says who it comes from.
        return c.conn.state.name if c.has_conn else caller(c)

    @action
    def ticket(self, c: Context[None, Member]) -> str:
        """Return what an `EventSource`, which sends no headers, may put into its URL: once, and soon."""
        return TICKETS.give(caller(c))


def caller(c: Context[Any, Any]) -> str:
    """Return who makes a call without a connection."""
    return VERIFIER.user_of_header(c.request.headers.get("authorization", ""))


registry = Registry(Lounge, store=MemoryStore())


async def main() -> None:
    issuer = Issuer(KEY, AUDIENCE)
    async with serving(registry) as url, Client(url) as client:
        lounge = client.lounge.get_or_create("main")

        # A function, asked for each connect: a client that comes back brings a token that is still good.
        async with lounge.connect(params=lambda: {"token": issuer.token("ann")}) as ann:
            print("connected as", await ann.who_am_i(), "with token number", issuer.issued)

        for user, lifetime_s in (("bob", -1), ("mallory", 60)):
            token = issuer.token(user, lifetime_s)
            try:
                await lounge.connect(params={"token": token}).ready()
            except RingcastError as error:
                print(user, "is refused for good:", error.code)

        async with httpx.AsyncClient(base_url=url) as http:
            path, room = "/actors/lounge/actions/", {"key": ["main"]}
            response = await http.post(path + "whoAmI", json=room)
            print("a call without a token:", response.status_code)
            signed = {"Authorization": f"Bearer {issuer.token('cleo')}"}
            response = await http.post(path + "whoAmI", json=room, headers=signed)
            print("a call of", response.json()["value"])
            response = await http.post(path + "ticket", json=room, headers=signed)
            ticket = response.json()["value"]
        print("a ticket is good for", TICKETS.take(ticket))
        try:
            TICKETS.take(ticket)
        except Unauthorized:
            print("and only once")


# `ringcast serve examples.jwt_auth:registry` imports this file without running the clients.
if __name__ == "__main__":
    asyncio.run(main())
