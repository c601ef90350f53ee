"""A free and a premium reader of the demo's news room: each gets what they may see. Run `make demo` first."""

import asyncio
import sys
from typing import Any

from ringcast import Client
from ringcast.client import ActorHandle

URL = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080"

ARTICLES = (
    {"id": "1", "category": "tech", "content": "A release", "level": "public"},
    {"id": "2", "category": "markets", "content": "What it means", "level": "premium"},
    {"id": "3", "category": "weather", "content": "Sun", "level": "public"},
)


async def read(room: ActorHandle[Any], reader: dict[str, str], count: int, ready: asyncio.Event) -> None:
    async with room.connect(reader) as connection:
        articles = connection.stream("newArticle")
        # Requests of one connection are handled in order: this one is answered after the subscription is.
        await connection.public_articles()
        ready.set()
        for _ in range(count):
            article = await anext(articles)
            print(
                f"{reader['user_id']} reads {article['level']} article {article['id']}: {article['content']}"
            )


async def main() -> None:
    async with Client(URL) as client:
        room = client.news_room.get_or_create(["world"])
        ready = [asyncio.Event(), asyncio.Event()]
        async with asyncio.TaskGroup() as readers:
            readers.create_task(read(room, {"user_id": "ann", "subscription": "premium"}, 3, ready[0]))
            readers.create_task(read(room, {"user_id": "bob", "subscription": "free"}, 2, ready[1]))
            for event in ready:
                await event.wait()
            for article in ARTICLES:
                await room.publish_article(article)


asyncio.run(main())
