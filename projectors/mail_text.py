"""The words of a mail, as text and as HTML, from `mail_templates/<kind>/`.

Values are escaped in HTML, a subject is one printable line, and a value that a template names and nobody gave is
an error. Nothing in a mail is loaded from elsewhere, and nothing that people typed is in it.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

MailKind = Literal[
    "verification",
    "verification-again",
    "sign-up-repeated",
    "password-reset",
    "email-change",
    "email-changed",
    "suspicion",
    "factors-changed",
]
MAIL_KINDS: tuple[MailKind, ...] = get_args(MailKind)

_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "mail_templates"),
    autoescape=select_autoescape(["html"]),
    undefined=StrictUndefined,
    keep_trailing_newline=True,
    trim_blocks=True,
    auto_reload=False,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    subject: str
    text: str = field(repr=False)
    html: str = field(repr=False)


def render_mail(kind: MailKind, **values: str) -> Wording:
    subject = one_line(_render(kind, "subject.txt", values))
    return Wording(
        subject=subject,
        text=_render(kind, "body.txt", values),
        html=_render(kind, "body.html", {**values, "subject": subject}),
    )


def _render(kind: MailKind, part: str, values: dict[str, str]) -> str:
    return _TEMPLATES.get_template(f"{kind}/{part}").render(values)


def one_line(text: str) -> str:
    """No value can begin a header of its own."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
