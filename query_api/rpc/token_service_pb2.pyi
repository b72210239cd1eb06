from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ValidateRequest(_message.Message):
    __slots__ = ("token",)
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    token: str
    def __init__(self, token: _Optional[str] = ...) -> None: ...

class ValidateResponse(_message.Message):
    __slots__ = ("active", "sub", "sid", "client_id", "scope", "exp", "iat", "iss", "aud", "jti", "token_type", "acr", "amr")
    ACTIVE_FIELD_NUMBER: _ClassVar[int]
    SUB_FIELD_NUMBER: _ClassVar[int]
    SID_FIELD_NUMBER: _ClassVar[int]
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    EXP_FIELD_NUMBER: _ClassVar[int]
    IAT_FIELD_NUMBER: _ClassVar[int]
    ISS_FIELD_NUMBER: _ClassVar[int]
    AUD_FIELD_NUMBER: _ClassVar[int]
    JTI_FIELD_NUMBER: _ClassVar[int]
    TOKEN_TYPE_FIELD_NUMBER: _ClassVar[int]
    ACR_FIELD_NUMBER: _ClassVar[int]
    AMR_FIELD_NUMBER: _ClassVar[int]
    active: bool
    sub: str
    sid: str
    client_id: str
    scope: str
    exp: int
    iat: int
    iss: str
    aud: _containers.RepeatedScalarFieldContainer[str]
    jti: str
    token_type: str
    acr: str
    amr: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, active: _Optional[bool] = ..., sub: _Optional[str] = ..., sid: _Optional[str] = ..., client_id: _Optional[str] = ..., scope: _Optional[str] = ..., exp: _Optional[int] = ..., iat: _Optional[int] = ..., iss: _Optional[str] = ..., aud: _Optional[_Iterable[str]] = ..., jti: _Optional[str] = ..., token_type: _Optional[str] = ..., acr: _Optional[str] = ..., amr: _Optional[_Iterable[str]] = ...) -> None: ...

class ValidateBatchRequest(_message.Message):
    __slots__ = ("tokens",)
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    tokens: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, tokens: _Optional[_Iterable[str]] = ...) -> None: ...

class ValidateBatchResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[ValidateResponse]
    def __init__(self, results: _Optional[_Iterable[_Union[ValidateResponse, _Mapping]]] = ...) -> None: ...

class WatchRevocationsRequest(_message.Message):
    __slots__ = ("from_position",)
    FROM_POSITION_FIELD_NUMBER: _ClassVar[int]
    from_position: str
    def __init__(self, from_position: _Optional[str] = ...) -> None: ...

class Revocation(_message.Message):
    __slots__ = ("position", "session_id", "account_id", "jti", "client_id", "kid", "not_before", "heartbeat", "age_ms", "sent_ms")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    JTI_FIELD_NUMBER: _ClassVar[int]
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    KID_FIELD_NUMBER: _ClassVar[int]
    NOT_BEFORE_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    AGE_MS_FIELD_NUMBER: _ClassVar[int]
    SENT_MS_FIELD_NUMBER: _ClassVar[int]
    position: str
    session_id: str
    account_id: str
    jti: str
    client_id: str
    kid: str
    not_before: int
    heartbeat: bool
    age_ms: int
    sent_ms: int
    def __init__(self, position: _Optional[str] = ..., session_id: _Optional[str] = ..., account_id: _Optional[str] = ..., jti: _Optional[str] = ..., client_id: _Optional[str] = ..., kid: _Optional[str] = ..., not_before: _Optional[int] = ..., heartbeat: _Optional[bool] = ..., age_ms: _Optional[int] = ..., sent_ms: _Optional[int] = ...) -> None: ...
