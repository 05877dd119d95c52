"""From posts to deliveries: who is to be told."""

from __future__ import annotations

from collections.abc import Sequence

from watch.models import Delivery, Post, Subscription


def announce(posts: Sequence[Post]) -> None:
    """Note for each post who is to be told of it; in the transaction that the posts are stored by."""
    wanted = list(Subscription.objects.filter(subscriber__active=True))
    deliveries = [
        Delivery(post=post, subscriber_id=subscriber)
        for post in posts
        for subscriber in {one.subscriber_id for one in wanted if wants(one, post)}
    ]
    Delivery.objects.bulk_create(deliveries, batch_size=1000)


def wants(subscription: Subscription, post: Post) -> bool:
    """Whether a post is what a subscription asks for."""
    if subscription.site_id not in (None, post.site_id):
        return False
    text = f"{post.title} {post.summary}".casefold()
    return not subscription.keywords or any(word.casefold() in text for word in subscription.keywords)
