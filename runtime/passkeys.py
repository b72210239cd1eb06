"""Passkeys (WebAuthn Level 3): what a browser is asked, and whether its answer is right.

py_webauthn checks type, challenge, origin, relying party, flags, attestation and signature. Before it sees anything,
this module refuses whatever is not the one spelling of what was asked for: see `docs/how-to/passkeys.md`. Nothing that
a client sends raises.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from webauthn import (
    generate_authentication_options,
    generate_registration_options,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.helpers import (
    decode_credential_public_key,
    decoded_public_key_to_cryptography,
    options_to_json_dict,
)
from webauthn.helpers.cose import COSEAlgorithmIdentifier
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AttestationConveyancePreference,
    AuthenticationCredential,
    AuthenticatorAssertionResponse,
    AuthenticatorAttestationResponse,
    AuthenticatorSelectionCriteria,
    CredentialDeviceType,
    PublicKeyCredentialDescriptor,
    RegistrationCredential,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from runtime.encoding import base64url, parse_base64url
from runtime.passkey_forms import (
    MAX_CREDENTIAL_ID,
    has_backup_eligibility,
    is_assertion_data,
    is_offered_key,
    is_wanted_attestation,
    is_wanted_client_data,
)

ALGORITHMS = (
    COSEAlgorithmIdentifier.ECDSA_SHA_256,
    COSEAlgorithmIdentifier.EDDSA,
    COSEAlgorithmIdentifier.RSASSA_PKCS1_v1_5_SHA_256,
)
"""Those that are offered, the best liked first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RelyingParty:
    """Whom passkeys are for: `origins` are the pages that may use them."""

    rp_id: str
    name: str
    origins: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Whose a new passkey will be. `handle` comes back with every sign-in, so it says nothing about a person."""

    handle: bytes
    name: str
    credential_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """The answer to creation options."""

    credential_id: bytes
    client_data: bytes
    attestation: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Assertion:
    """The answer to request options."""

    credential_id: bytes
    client_data: bytes
    authenticator_data: bytes
    signature: bytes
    user_handle: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """`credential_id` and `public_key` (COSE) are base64url; `is_synced` is the flag "backup eligible"."""

    credential_id: str
    public_key: str
    is_synced: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCredential(Credential):
    sign_count: int


def creation_options(
    party: RelyingParty, holder: Holder, challenge: bytes, timeout: timedelta
) -> dict[str, Any]:
    """PublicKeyCredentialCreationOptionsJSON for a passkey that knows its account and verifies its user."""
    options = generate_registration_options(
        rp_id=party.rp_id,
        rp_name=party.name,
        user_id=holder.handle,
        user_name=holder.name,
        user_display_name=holder.name,
        challenge=challenge,
        timeout=_milliseconds(timeout),
        attestation=AttestationConveyancePreference.NONE,
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.REQUIRED,
            user_verification=UserVerificationRequirement.REQUIRED,
        ),
        exclude_credentials=_descriptors(holder.credential_ids),
        supported_pub_key_algs=list(ALGORITHMS),
    )
    return options_to_json_dict(options)


def request_options(
    party: RelyingParty, challenge: bytes, timeout: timedelta, credential_ids: Sequence[str] = ()
) -> dict[str, Any]:
    """PublicKeyCredentialRequestOptionsJSON; without `credential_ids` any passkey of the relying party will do."""
    options = generate_authentication_options(
        rp_id=party.rp_id,
        challenge=challenge,
        timeout=_milliseconds(timeout),
        allow_credentials=_descriptors(credential_ids) or None,
        user_verification=UserVerificationRequirement.REQUIRED,
    )
    return options_to_json_dict(options)


def parse_members(members: Mapping[str, str]) -> dict[str, bytes] | None:
    """The bytes of members that are base64url, None unless each of them is in its one spelling."""
    parsed = {name: parse_base64url(text) for name, text in members.items()}
    raw = {name: value for name, value in parsed.items() if value is not None}
    return raw if len(raw) == len(parsed) else None


def verify_registration(
    party: RelyingParty, registration: Registration, challenge: bytes
) -> NewCredential | None:
    """The new credential, None if anything about it is wrong (WebAuthn section 7.1).

    Without an attestation py_webauthn does not look whether the key is one, so that is seen to here.
    """
    if not (
        len(registration.credential_id) <= MAX_CREDENTIAL_ID
        and is_wanted_client_data(registration.client_data)
        and is_wanted_attestation(registration.attestation, registration.credential_id)
    ):
        return None
    credential = RegistrationCredential(
        id=base64url(registration.credential_id),
        raw_id=registration.credential_id,
        response=AuthenticatorAttestationResponse(
            client_data_json=registration.client_data, attestation_object=registration.attestation
        ),
    )
    try:
        verified = verify_registration_response(
            credential=credential,
            expected_challenge=challenge,
            expected_rp_id=party.rp_id,
            expected_origin=list(party.origins),
            require_user_verification=True,
            supported_pub_key_algs=list(ALGORITHMS),
        )
        decoded_public_key_to_cryptography(decode_credential_public_key(verified.credential_public_key))
    except (WebAuthnException, ValueError):
        return None
    return NewCredential(
        credential_id=base64url(verified.credential_id),
        public_key=base64url(verified.credential_public_key),
        is_synced=verified.credential_device_type == CredentialDeviceType.MULTI_DEVICE,
        sign_count=verified.sign_count,
    )


def verify_assertion(
    party: RelyingParty, assertion: Assertion, challenge: bytes, credential: Credential
) -> int | None:
    """The authenticator's counter, None if anything is wrong but that counter (WebAuthn section 7.2)."""
    public_key = parse_base64url(credential.public_key)
    if not (
        public_key is not None
        and is_offered_key(public_key)
        and is_wanted_client_data(assertion.client_data)
        and is_assertion_data(assertion.authenticator_data)
        and has_backup_eligibility(assertion.authenticator_data) == credential.is_synced
    ):
        return None
    answer = AuthenticationCredential(
        id=credential.credential_id,
        raw_id=assertion.credential_id,
        response=AuthenticatorAssertionResponse(
            client_data_json=assertion.client_data,
            authenticator_data=assertion.authenticator_data,
            signature=assertion.signature,
        ),
    )
    try:
        verified = verify_authentication_response(
            credential=answer,
            expected_challenge=challenge,
            expected_rp_id=party.rp_id,
            expected_origin=list(party.origins),
            credential_public_key=public_key,
            credential_current_sign_count=0,
            require_user_verification=True,
        )
    except (WebAuthnException, ValueError):
        return None
    return verified.new_sign_count


def _descriptors(credential_ids: Sequence[str]) -> list[PublicKeyCredentialDescriptor]:
    raw = (parse_base64url(credential_id) for credential_id in credential_ids)
    return [PublicKeyCredentialDescriptor(id=one) for one in raw if one is not None]


def _milliseconds(timeout: timedelta) -> int:
    return round(timeout.total_seconds() * 1000)
