"""Token checks over gRPC: what HTTP says of the same tokens, to callers who may ask."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf import descriptor_pb2
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from query_api.rpc import token_service_pb2 as pb
from tests.e2e.conftest import command_process
from tests.support.admins import CLIENTS, new_admin, token_of
from tests.support.chancery import Chancery, Person
from tests.support.rpc import PATIENCE_SECONDS, Asking, Metadata, asking


@pytest.fixture
async def caller(chancery: Chancery) -> AsyncIterator[Asking]:
    async with asking(chancery) as opened:
        yield opened


async def sign_out(chancery: Chancery, person: Person) -> str:
    assert (await chancery.command("DELETE", "/v1/sessions", headers=person.bearer)).status_code == 204
    return str(person.tokens["session_id"])


async def until(
    stream: "grpc.aio.UnaryStreamCall[Any, pb.Revocation]", **members: Any
) -> tuple[pb.Revocation, list[pb.Revocation]]:
    """The first message with these members, and what came before it."""
    before: list[pb.Revocation] = []
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            message = await stream.read()
            assert isinstance(message, pb.Revocation), "the stream ended"
            if all(getattr(message, name) == value for name, value in members.items()):
                return message, before
            before.append(message)


async def ended(stream: "grpc.aio.UnaryStreamCall[Any, pb.Revocation]") -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while isinstance(await stream.read(), pb.Revocation):
            pass


def members_of(answer: pb.ValidateResponse) -> dict[str, Any]:
    """As HTTP has them."""
    found = {field.name: value for field, value in answer.ListFields()}
    if "aud" in found:
        found["aud"] = answer.aud[0] if len(answer.aud) == 1 else list(answer.aud)
    if "amr" in found:
        found["amr"] = list(answer.amr)
    return found or {"active": False}


async def test_it_says_of_a_token_what_introspection_says(chancery: Chancery, caller: Asking) -> None:
    person, gone = await chancery.new_person(), await chancery.new_person()
    await sign_out(chancery, gone)
    await chancery.until_inactive(gone.tokens["access_token"])
    machine = await token_of(chancery, dict(chancery.client))
    tokens = [
        *(person.tokens[kind] for kind in ("access_token", "refresh_token")),
        *(gone.tokens[kind] for kind in ("access_token", "refresh_token")),
        machine,
        person.tokens["access_token"] + "=",
        person.tokens["access_token"][:-2],
        "",
        "x" * 9000,
        "nul\x00in it",
    ]
    alone = [members_of(await caller.validate(token)) for token in tokens]
    whole = await caller.batch(tokens)
    assert [members_of(one) for one in whole.results] == alone
    for token, found in zip(tokens[:7], alone[:7], strict=True):
        assert found == await chancery.introspect(token)
    assert [found["active"] for found in alone] == [True, True, False, False, True] + [False] * 5


async def test_a_batch_has_a_bound_and_says_what_it_shows(chancery: Chancery, caller: Asking) -> None:
    person = await chancery.new_person()
    call = caller.batch([person.tokens["access_token"]] * 1000)
    assert [one.active for one in (await call).results] == [True] * 1000
    metadata = dict(await call.trailing_metadata())
    assert len(str(metadata["chancery-position"]).split(",")) == 8
    assert (await caller.batch([])).results == []
    with pytest.raises(grpc.aio.AioRpcError, match="validation-failed: At most 1000 tokens") as refused:
        await caller.batch(["x"] * 1001)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await caller.batch(["x" * 3_000_000])
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_nobody_asks_who_may_not(chancery: Chancery) -> None:
    person = await chancery.new_person()
    mute = await chancery.new_client("chancery.admin")
    token, other = await token_of(chancery, dict(chancery.client)), await token_of(chancery, mute)
    refused = grpc.StatusCode.UNAUTHENTICATED
    cases: list[tuple[Metadata, grpc.StatusCode, str]] = [
        ((("x-nothing", "here"),), refused, "missing-token"),
        ((("authorization", "Bearer "),), refused, "missing-token"),
        ((("authorization", "Basic " + token),), refused, "missing-token"),
        ((("authorization", "Bearer " + token),) * 2, refused, "missing-token"),
        ((("authorization", "Bearer " + token + "="),), refused, "invalid-token"),
        ((("authorization", "Bearer " + other),), grpc.StatusCode.PERMISSION_DENIED, "insufficient-scope"),
        (
            (("authorization", "Bearer " + person.tokens["access_token"]),),
            grpc.StatusCode.PERMISSION_DENIED,
            "insufficient-scope",
        ),
    ]
    for metadata, status, problem in cases:
        async with asking(chancery, *metadata) as caller:
            for call in (caller.validate("x"), caller.batch(["x"]), caller.watch().read()):
                with pytest.raises(grpc.aio.AioRpcError) as failed:
                    await call
                assert (failed.value.code(), (failed.value.details() or "").partition(":")[0]) == (
                    status,
                    problem,
                )


async def test_a_call_may_wait_for_a_position(chancery: Chancery, caller: Asking) -> None:
    person = await chancery.new_person()
    answer = await chancery.command("DELETE", "/v1/sessions", headers=person.bearer)
    position = ("chancery-min-position", answer.headers["chancery-position"])
    assert not (await caller.validate(person.tokens["access_token"], position)).active
    far = ("chancery-min-position", "0:999999999")
    for more, status, problem in (
        ((("chancery-min-position", "999:1"),), grpc.StatusCode.INVALID_ARGUMENT, "bad-position"),
        ((far, ("prefer", "wait=0")), grpc.StatusCode.UNAVAILABLE, "projection-behind"),
    ):
        with pytest.raises(grpc.aio.AioRpcError, match=problem) as refused:
            await caller.validate(person.tokens["access_token"], *more)
        assert refused.value.code() is status


async def test_who_watches_hears_of_everything_once_also_after_a_pause(
    chancery: Chancery, caller: Asking
) -> None:
    people = [await chancery.new_person() for _ in range(3)]
    first = await sign_out(chancery, people[0])
    await chancery.until_inactive(people[0].tokens["access_token"])
    stream = caller.watch()
    beat, before = await until(stream, heartbeat=True)
    assert [one.session_id for one in before].count(first) == 1
    assert {one.position for one in before} == {""}
    second = await sign_out(chancery, people[1])
    news, _ = await until(stream, session_id=second)
    assert (news.position, news.heartbeat) == (beat.position, False)
    later, _ = await until(stream, heartbeat=True)
    stream.cancel()
    assert later.position != beat.position
    assert 0 <= later.age_ms < 1000
    assert later.sent_ms > beat.sent_ms > 0
    third = await sign_out(chancery, people[2])
    await chancery.until_inactive(people[2].tokens["access_token"])
    again = caller.watch(later.position)
    _, missed = await until(again, heartbeat=True)
    assert [one.session_id for one in missed] == [third]
    again.cancel()
    with pytest.raises(grpc.aio.AioRpcError, match="bad-position") as refused:
        await caller.watch("0:1").read()
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_stream_ends_with_its_callers_right(chancery: Chancery) -> None:
    admin = await new_admin(chancery)
    client = await admin.register()
    async with asking(chancery, ("authorization", "Bearer " + await token_of(chancery, client))) as caller:
        stream = caller.watch()
        await until(stream, heartbeat=True)
        assert (await admin.ask("DELETE", f"{CLIENTS}/{client['client_id']}")).status_code == 204
        await ended(stream)
        assert await stream.code() is grpc.StatusCode.OK
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await caller.validate("x")
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_streams_end_when_the_process_does(chancery: Chancery) -> None:
    async with command_process(chancery, {}, "query") as (side, process), asking(side) as caller:
        stream = caller.watch()
        await until(stream, heartbeat=True)
        process.terminate()
        await ended(stream)
        assert await asyncio.wait_for(process.wait(), PATIENCE_SECONDS) == 0


async def test_envoys_question_is_forward_auths(chancery: Chancery, caller: Asking) -> None:
    person, gone = await chancery.new_person(), await chancery.new_person()
    await sign_out(chancery, gone)
    await chancery.until_inactive(gone.tokens["access_token"])
    let_in = await caller.check(authorization="Bearer " + person.tokens["access_token"])
    assert let_in.status.code == 0
    told = await chancery.query("GET", "/v1/forward-auth", headers=person.bearer)
    headers = {one.header.key: one.header.value for one in let_in.ok_response.headers}
    assert headers == {name: value for name, value in told.headers.items() if name.startswith("x-auth-")}
    assert list(let_in.ok_response.headers_to_remove) == ["x-auth-client"]
    overwrite = type(let_in.ok_response.headers[0]).OVERWRITE_IF_EXISTS_OR_ADD
    assert {one.append_action for one in let_in.ok_response.headers} == {overwrite}
    for token in (gone.tokens["access_token"], person.tokens["refresh_token"], "x"):
        refused = await caller.check(authorization="Bearer " + token, **{"x-auth-account": "me"})
        assert (refused.status.code, refused.denied_response.status.code) == (16, 401)
        told = await chancery.query("GET", "/v1/forward-auth", headers={"authorization": "Bearer " + token})
        assert refused.denied_response.body == told.text
        sent = {one.header.key: one.header.value for one in refused.denied_response.headers}
        assert sent["www-authenticate"] == told.headers["www-authenticate"]
    assert (await caller.check()).denied_response.status.code == 401
    twice = f"Bearer {person.tokens['access_token']},Bearer {person.tokens['access_token']}"
    assert (await caller.check(authorization=twice)).denied_response.status.code == 401


async def test_health_and_reflection_are_open_to_all(chancery: Chancery) -> None:
    async with asking(chancery, ("x-nothing", "here")) as caller:
        health = caller.channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            health_pb2.HealthCheckRequest.SerializeToString,
            health_pb2.HealthCheckResponse.FromString,
        )
        for name in ("", "chancery.v1.TokenService"):
            answer = await health(health_pb2.HealthCheckRequest(service=name), timeout=PATIENCE_SECONDS)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        watch = caller.channel.unary_stream(
            "/grpc.health.v1.Health/Watch",
            health_pb2.HealthCheckRequest.SerializeToString,
            health_pb2.HealthCheckResponse.FromString,
        )(health_pb2.HealthCheckRequest(service=""), timeout=PATIENCE_SECONDS)
        first = await watch.read()
        assert isinstance(first, health_pb2.HealthCheckResponse)
        assert first.status == health_pb2.HealthCheckResponse.SERVING
        watch.cancel()
        reflect = caller.channel.stream_stream(
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
            reflection_pb2.ServerReflectionRequest.SerializeToString,
            reflection_pb2.ServerReflectionResponse.FromString,
        )
        asked = [
            reflection_pb2.ServerReflectionRequest(list_services=""),
            reflection_pb2.ServerReflectionRequest(file_containing_symbol="chancery.v1.TokenService"),
        ]
        listed, described = [one async for one in reflect(iter(asked), timeout=PATIENCE_SECONDS)]
        assert {one.name for one in listed.list_services_response.service} == {
            "chancery.v1.TokenService",
            "envoy.service.auth.v3.Authorization",
            "grpc.health.v1.Health",
            "grpc.reflection.v1alpha.ServerReflection",
        }
        (raw,) = described.file_descriptor_response.file_descriptor_proto
        assert descriptor_pb2.FileDescriptorProto.FromString(raw).package == "chancery.v1"


async def test_calls_are_measured_and_name_no_one(chancery: Chancery, caller: Asking) -> None:
    token = (await chancery.new_person()).tokens["access_token"]
    assert (await caller.validate(token)).active
    metrics = (await chancery.query("GET", "/metrics")).text
    line = 'chancery_grpc_call_seconds_count{method="/chancery.v1.TokenService/Validate",status="OK"}'
    assert float(metrics.partition(line)[2].split()[0]) >= 1
    assert token not in metrics
