"""A news room, twice: who gets an article is asked in a loop, and said by a filter. Both send the same.

Run it: it needs no server, and shows what each reader is sent by either.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from ringcast import Actor, Context, MemoryStore, Registry, action, where


@dataclass
class Article:
    id: str
    category: str
    content: str
    level: Literal["public", "premium"] = "public"


@dataclass
class News:
    articles: list[Article] = field(default_factory=list)


@dataclass
class Reader:
    """What a client connects with, and what its connection carries."""

    user_id: str
    subscription: Literal["free", "premium"] = "free"
    muted: set[str] = field(default_factory=set)
    """Categories that this reader does not want."""


class NewsRoom(Actor[News, Reader]):
    """What both forms have in common: readers choose."""

    class Events:
        newArticle: Article

    @action
    def change_subscription(self, c: Context[News, Reader], subscription: Literal["free", "premium"]) -> None:
        c.conn.state.subscription = subscription

    @action
    def mute(self, c: Context[News, Reader], category: str) -> None:
        c.conn.state.muted.add(category)


class LoopNewsRoom(NewsRoom):
    @action
    def publish_article(self, c: Context[News, Reader], article: Article) -> None:
        c.state.articles.append(article)
        for conn in c.conns:
            may_read = article.level == "public" or conn.state.subscription == "premium"
            if may_read and article.category not in conn.state.muted:
                conn.send("newArticle", article)


PREMIUM: Final = where(subscription="premium")


class FilterNewsRoom(NewsRoom):
    @action
    def publish_article(self, c: Context[News, Reader], article: Article) -> None:
        c.state.articles.append(article)
        wanted = ~where(muted__has=article.category)
        if article.level == "premium":
            wanted &= PREMIUM
        c.broadcast("newArticle", article, where=wanted)


ARTICLES: Final = (
    {"id": "1", "category": "tech", "content": "A release", "level": "public"},
    {"id": "2", "category": "markets", "content": "What it means", "level": "premium"},
    {"id": "3", "category": "weather", "content": "Sun", "level": "public"},
)


async def show(form: type[NewsRoom]) -> list[str]:
    """Return what two readers are sent, in lines."""
    told: list[str] = []
    registry = Registry(form, store=MemoryStore())
    await registry.start()
    room = registry.client.get_or_create(form, ["world"])
    ann = room.connect({"user_id": "ann", "subscription": "premium"})
    bob = room.connect({"user_id": "bob"})

    def read(name: str, article: dict[str, Any]) -> None:
        told.append(f"{name} reads {article['level']} article {article['id']}: {article['content']}")

    ann.on("newArticle", lambda article: read("ann", article))
    bob.on("newArticle", lambda article: read("bob", article))
    async with ann, bob:
        await ann.mute("weather")
        for article in ARTICLES:
            await ann.publish_article(article)
        # The answer comes behind everything that was sent before.
        await bob.mute("tech")
    await registry.stop()
    return sorted(told)


async def main() -> None:
    looped, filtered = [await show(form) for form in (LoopNewsRoom, FilterNewsRoom)]
    print(*filtered, sep="\n")
    print("the loop sends", "the same" if looped == filtered else f"something else: {looped}")


if __name__ == "__main__":
    asyncio.run(main())
