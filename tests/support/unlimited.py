"""Settings of stacks whose tests are about other things, and come from one address all of them."""

from runtime.rates import OFF, Rate
from runtime.settings import Settings

UNLIMITED = {
    f"CHANCERY_{name.upper()}": OFF
    for name, field in Settings.model_fields.items()
    if isinstance(field.default, Rate)
}
"""No call is refused for how many there were. What a mailbox or a wrong password is allowed stays as it is."""
