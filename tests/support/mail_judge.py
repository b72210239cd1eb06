"""Judges what a mailer did against the log: which mails it asked for, and which came or were said to have bounced."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping

from eventstore.chain import Counted
from eventstore.facts import read_commit
from localstack.inbox import Mail
from projectors.mails import plan_mail
from runtime.codes import MailedCodes
from runtime.keys import derive_keys

_NO_CODES = MailedCodes(derive_keys(bytes(32)))


def asked_for(log: Iterable[Counted], domain: str) -> set[str]:
    """The message ids of all mails that the log asks for; they do not depend on what is sealed."""
    planned = [plan_mail(fact, _NO_CODES, domain) for counted in log for fact in read_commit(counted)]
    return {mail.message_id for mail in planned if mail is not None}


def bounced(log: Iterable[Counted]) -> Counter[str]:
    """How often each mail is a fact that it bounced."""
    events = [event for counted in log for event in counted.commit.events if event.type == "mail.bounced"]
    return Counter(str(event.data["message_id"]) for event in events)


def mail_faults(
    before: Mapping[str, Counted], after: Mapping[str, Counted], mails: Iterable[Mail], domain: str
) -> list[str]:
    """What went wrong with the mails that the log asks for since it was as `before`; none was due to expire."""
    return list(_faults(before, after, list(mails), domain))


def _faults(
    before: Mapping[str, Counted], after: Mapping[str, Counted], mails: list[Mail], domain: str
) -> Iterator[str]:
    recipients: dict[str, set[str]] = defaultdict(set)
    for mail in mails:
        recipients[str(mail.message_id)].add(mail.to)
    bounces, wanted = bounced(after.values()), asked_for(after.values(), domain)
    for message_id in sorted(asked_for([after[at] for at in after.keys() - before.keys()], domain)):
        if message_id not in recipients and message_id not in bounces:
            yield f"lost: {message_id} neither came nor bounced"
    for message_id, addresses in recipients.items():
        if message_id not in wanted:
            yield f"stranger: nothing asked for {message_id}"
        if len(addresses) > 1:
            yield f"misdirected: {message_id} came to {sorted(addresses)}"
        if message_id in bounces:
            yield f"denied: {message_id} came and is said to have bounced"
    for message_id, times in bounces.items():
        if times > 1:
            yield f"repeated: {message_id} bounced {times} times"


def repetitions(mails: Iterable[Mail]) -> int:
    """How many mails came that had come before: the gap that SMTP leaves."""
    return sum(times - 1 for times in Counter(mail.message_id for mail in mails).values())
