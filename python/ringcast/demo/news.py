"""A news room: premium articles go only to readers who have paid, by a plain loop over the connections."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

from ringcast import Actor, Context, action

__all__ = ["NewsRoom"]

KEPT_ARTICLES: Final = 100


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


class NewsRoom(Actor[News, Reader]):
    """`newArticle` reaches every reader for a public article, premium readers only for a premium one."""

    class Events:
        newArticle: Article

    @action
    def publish_article(self, c: Context[News, Reader], article: Article) -> Article:
        c.state.articles.append(article)
        del c.state.articles[:-KEPT_ARTICLES]
        for conn in c.conns:
            if article.level == "public" or conn.state.subscription == "premium":
                conn.send("newArticle", article)
        return article

    @action
    def public_articles(self, c: Context[News, Reader]) -> list[Article]:
        return [article for article in c.state.articles if article.level == "public"]
