"""Sign-in with a passkey at one of several processes, and what of a failure comes into the log."""

from events.streams import new_id
from tests.support.authenticator import Lies
from tests.support.memory_keys import KeyTopic
from tests.support.passkey_desk import PasskeyDesk, passkey_of
from tests.support.writers import ACCOUNT, counted_commits, new_log


async def test_a_passkey_that_another_process_registered_just_now_signs_in() -> None:
    """The check is made against what this process knew, and again where the decision finds that it knew too little."""
    log, keys = await new_log(), KeyTopic()
    here, there = PasskeyDesk.on(log, keys), PasskeyDesk.on(log, keys)
    await here.open_account()
    await there.learn_signing_key()
    passkey = passkey_of()
    assert (await there.writer.state(ACCOUNT)).factors.passkeys == ()
    await here.register(passkey)
    assert (await there.sign_in(passkey)).status == 201


async def test_abuse_f2_a_wrong_passkey_of_an_account_is_a_fact() -> None:
    log, keys = await new_log(), KeyTopic()
    desk = PasskeyDesk.on(log, keys)
    await desk.open_account()
    passkey = passkey_of()
    await desk.register(passkey)
    assert (await desk.sign_in(passkey, Lies(signature=b"x"))).status == 401
    last = (await counted_commits(log))[-1].commit.events
    assert [event.type for event in last] == ["sign_in.failed"]


async def test_abuse_f2_an_account_that_somebody_made_up_gets_nothing_into_the_log() -> None:
    """Else anybody could fill it with streams of nobody, each of which needs a data key."""
    log, keys = await new_log(), KeyTopic()
    desk = PasskeyDesk.on(log, keys)
    await desk.open_account()
    passkey = passkey_of()
    await desk.register(passkey)
    before = len(await counted_commits(log))
    for _ in range(3):
        unknown = passkey_of(new_id(0))
        unknown.key = passkey.key
        assert (await desk.sign_in(unknown)).status == 401
    assert len(await counted_commits(log)) == before
