"""What a Redis must be set to before Sightline uses it: one that evicts would lose messages by itself.

An evicted list is a doorbell lost, which the database rings again; but a Celery producer's submission is lost with it,
and so are the bindings by which Kombu finds the queues.
"""

import logging
from urllib.parse import urlsplit

from redis import Redis
from redis.exceptions import RedisError

from domain.errors import BrokerUnsafe

log = logging.getLogger(__name__)

ANSWER_S = 3.0


def refuse_eviction(broker_url: str) -> None:
    """Raise BrokerUnsafe where the broker is a Redis that evicts keys when its memory is full.

    Also where no limit is set yet: it would begin to evict on the day when somebody sets one. One that is away, or does
    not tell, is taken as it is: the first comes back, the second may be a managed service.
    """
    if not urlsplit(broker_url).scheme.startswith("redis"):
        return
    try:
        with Redis.from_url(broker_url, socket_timeout=ANSWER_S, socket_connect_timeout=ANSWER_S) as client:
            told = client.info("memory")
    except (RedisError, OSError) as error:
        log.warning(
            "whether the broker evicts is not known", extra={"event": "broker.unasked", "reason": str(error)[:200]}
        )
        return
    policy = told.get("maxmemory_policy")
    if policy is None:
        log.warning("the broker does not tell whether it evicts", extra={"event": "broker.untold"})
    elif policy != "noeviction":
        raise BrokerUnsafe(
            "the Redis that SIGHTLINE_BROKER_URL names evicts keys when its memory is full"
            f" (maxmemory-policy {policy}), and would lose messages; set it: CONFIG SET maxmemory-policy noeviction",
            policy=policy,
        )
