"""`chancery keys rewrap` on a key topic of its own, so that the running platform keeps its keys."""

import json
import uuid

from eventstore.kafka_keys import KafkaKeyStore
from eventstore.key_encryption import LocalKeyEncryption
from eventstore.key_index import MemoryKeyIndex
from eventstore.keyring import Keyring
from eventstore.provision import Topics, create_topics
from runtime.encoding import base64url
from runtime.kafka_access import KafkaAccess
from runtime.kafka_admin import open_admin
from tests.support.chancery import Chancery

OLD, NEW = bytes(range(32)), bytes(reversed(range(32)))
REWRAP = ("keys", "rewrap")


async def test_data_keys_move_to_the_new_key(chancery: Chancery) -> None:
    bootstrap, name = chancery.settings["CHANCERY_KAFKA_BOOTSTRAP"], uuid.uuid4().hex
    topics = Topics(
        events=f"events.{name}",
        keys=f"keys.{name}",
        public=f"public.{name}",
        partitions=8,
        replication_factor=1,
    )
    async with open_admin(KafkaAccess(bootstrap)) as admin:
        await create_topics(admin, topics)
    store = KafkaKeyStore(KafkaAccess(bootstrap), topics.keys, topics.partitions, timeout_seconds=5)
    await store.start()
    made = Keyring(store, LocalKeyEncryption(OLD), MemoryKeyIndex())
    keys = [await made.key_for(f"account-{number}") for number in range(20)]
    settings = {
        "CHANCERY_KEYS_TOPIC": topics.keys,
        "CHANCERY_KEY_ENCRYPTION_KEY": base64url(NEW),
        "CHANCERY_KEY_ENCRYPTION_KEYS_BEFORE": base64url(OLD),
    }
    code, out, err = await chancery.cli(*REWRAP, "--json", more=settings)
    assert (code, err) == (0, "")
    assert json.loads(out) == {"keys": 20, "rewrapped": 20, "erased_again": 0, "left": 0}
    code, out, _ = await chancery.cli(*REWRAP, more=settings)
    assert code == 0
    assert out.startswith("0 of 20 data keys were stored anew")
    assert "CHANCERY_KEY_ENCRYPTION_KEYS_BEFORE can be emptied" in out
    alone = Keyring(store, LocalKeyEncryption(NEW), MemoryKeyIndex())
    found = await alone.find_all(key.key_id for key in keys)
    assert all(found[key.key_id] is not None for key in keys)
    await store.stop()


async def test_without_the_old_key_it_says_which_variable_lacks_it(chancery: Chancery) -> None:
    code, out, err = await chancery.cli(*REWRAP, more={"CHANCERY_KEY_ENCRYPTION_KEY": base64url(NEW)})
    assert (code, out) == (1, "")
    assert "CHANCERY_KEY_ENCRYPTION_KEYS_BEFORE" in err
    assert "Traceback" not in err
