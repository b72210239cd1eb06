"""The JSON forms of WebAuthn Level 3 (section 5.1), with what browsers add to them and nothing else.

Members that nothing is decided by may be left out, as older browsers do.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

_Binary = Annotated[str, Field(min_length=1, max_length=6 * 1024)]
_CredentialId = Annotated[str, Field(min_length=1, max_length=1364)]
"""1023 bytes as base64url."""
_Attestation = Annotated[str, Field(min_length=1, max_length=11 * 1024)]
_Word = Annotated[str, Field(max_length=64)]
_Extensions = Annotated[dict[str, Any], Field(alias="clientExtensionResults", default_factory=dict)]


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class AttestationResponse(_Form):
    """AuthenticatorAttestationResponseJSON. The copies of what is in `attestationObject` are not read."""

    client_data: Annotated[_Binary, Field(alias="clientDataJSON")]
    attestation: Annotated[_Attestation, Field(alias="attestationObject")]
    authenticator_data: Annotated[_Binary | None, Field(alias="authenticatorData")] = None
    transports: Annotated[list[_Word], Field(max_length=16, default_factory=list)]
    public_key: Annotated[_Binary | None, Field(alias="publicKey")] = None
    public_key_algorithm: Annotated[int | None, Field(alias="publicKeyAlgorithm")] = None


class AssertionResponse(_Form):
    """AuthenticatorAssertionResponseJSON."""

    client_data: Annotated[_Binary, Field(alias="clientDataJSON")]
    authenticator_data: Annotated[_Binary, Field(alias="authenticatorData")]
    signature: _Binary
    user_handle: Annotated[_Word | None, Field(alias="userHandle")] = None


class _Credential(_Form):
    id: _CredentialId
    raw_id: Annotated[_CredentialId, Field(alias="rawId")]
    type: Literal["public-key"]
    attachment: Annotated[_Word | None, Field(alias="authenticatorAttachment")] = None
    extensions: _Extensions


class NewPasskeyBody(_Credential):
    """RegistrationResponseJSON: what `navigator.credentials.create()` made, by its `toJSON()`."""

    response: AttestationResponse


class PasskeyBody(_Credential):
    """AuthenticationResponseJSON: what `navigator.credentials.get()` gave, by its `toJSON()`."""

    response: AssertionResponse


class CreationOptions(BaseModel):
    """PublicKeyCredentialCreationOptionsJSON (WebAuthn section 5.1.8)."""

    rp: dict[str, str]
    user: dict[str, str]
    challenge: str
    pubKeyCredParams: list[dict[str, Any]]  # noqa: N815  # the standard's names
    timeout: int
    excludeCredentials: list[dict[str, str]]  # noqa: N815
    authenticatorSelection: dict[str, Any]  # noqa: N815
    attestation: str


class RequestOptions(BaseModel):
    """PublicKeyCredentialRequestOptionsJSON (WebAuthn section 5.1.9)."""

    challenge: str
    timeout: int
    rpId: str  # noqa: N815
    allowCredentials: list[dict[str, str]]  # noqa: N815
    userVerification: str  # noqa: N815


class NewPasskey(BaseModel):
    id: str
    position: str
