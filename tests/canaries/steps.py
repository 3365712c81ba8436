"""The ways in, and what goes wrong on them: each a step, which takes the rig and plants what secrets it needs.

A further way in is a function and a line in `STEPS`. Every answer is searched as it comes, but those that `shows` says
may hold a secret; where else anything stayed is looked at afterwards.
"""

import json
import signal
import socket
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote

from sqlalchemy import update

from tests.canaries.planted import KINDS
from tests.canaries.rig import Rig
from worklore.vault.credential import Credential

HELD_IN = dict(zip(KINDS[:6], KINDS[:6], strict=True)) | {"private_key": "token"}
"""The field of a credential that holds a secret of each kind."""

TYPES = {
    "api_key": "api_key",
    "client_secret": "oauth",
    "token": "jwt",
    "connection_string": "connection_string",
    "totp_seed": "totp",
    "private_key": "ssh_key",
}
REFUSED = range(400, 500)
JSON = {"content-type": "application/json"}
LONG = 33 * 1024
PASSPHRASE = "a passphrase of the backups"


@dataclass(frozen=True)
class Step:
    """A way in: what it is called, and what is done.

    Attributes:
        once: it would not differ the next time.
        anywhere: no database can change it, so the short form takes it on SQLite alone.
    """

    run: Callable[[Rig], None]
    once: bool = False
    anywhere: bool = False

    @property
    def name(self) -> str:
        return self.run.__name__


def body(rig: Rig, kind: str = "password", **more: object) -> tuple[dict[str, object], str]:
    """A credential to store, and the secret in it."""
    secret = rig.plant(kind)
    new = {"credential_type": TYPES.get(kind, "password"), "service_name": f"service {uuid.uuid4()}"}
    return {**new, "client_id": client(rig), HELD_IN[kind]: secret, **more}, secret


def client(rig: Rig) -> str:
    if "client" not in rig.kept:
        made = rig.api("POST", "/clients", 201, json={"name": "Example Bakery", "type": "msp_client"})
        rig.kept["client"] = made.json()["id"]
    return str(rig.kept["client"])


def stored(rig: Rig, kind: str = "password") -> tuple[str, str]:
    """The id of a new credential, and its secret."""
    new, secret = body(rig, kind)
    return rig.api("POST", "/credentials/store", 200, json=new).json()["id"], secret


def refused(rig: Rig, method: str, path: str, **options: object) -> None:
    rig.api(method, path, *REFUSED, **options)


# --- what is meant to happen ----------------------------------------------------------------------------------------


def secrets_of_each_kind_are_stored_rotated_and_shown_when_asked_for(rig: Rig) -> None:
    for kind in KINDS:
        key, secret = stored(rig, kind)
        ask = {"reason": "the server does not answer", "fields": [HELD_IN[kind]]}
        shown = rig.api("POST", f"/credentials/{key}/reveal", 200, token=rig.person, shows=True, json=ask)
        assert shown.json()["secrets"] == {HELD_IN[kind]: secret}, kind
        rig.api("POST", f"/credentials/{key}/rotate", 200, json={HELD_IN[kind]: rig.plant(kind)})
        rig.api("GET", f"/credentials/{key}", 200)
        rig.api("GET", f"/credential-audit-logs/by-credential/{key}", 200)
    rig.api("POST", f"/credentials/{key}/shred", 200)


def a_dry_run_leaves_nothing(rig: Rig) -> None:
    rig.api("POST", "/credentials/store?dry_run=true", 200, json=body(rig)[0])
    key, _ = stored(rig)
    rig.api("POST", f"/credentials/{key}/rotate?dry_run=true", 200, json={"password": rig.plant()})
    refused(rig, "POST", f"/credentials/{key}/reveal?dry_run=true", token=rig.person, json={"reason": "to see"})


def a_request_is_repeated_under_its_key(rig: Rig) -> None:
    key = {"idempotency-key": str(uuid.uuid4())}
    new, _ = body(rig, "api_key")
    first, again = (rig.api("POST", "/credentials/store", 200, headers=key, json=new) for _ in range(2))
    assert first.json() == again.json()
    refused(rig, "POST", "/credentials/store", headers=key, json=body(rig)[0])
    told = {"idempotency-key": str(uuid.uuid4())}
    ask = {"json": {"reason": "once more"}, "headers": told, "token": rig.person, "shows": True}
    path = f"/credentials/{first.json()['id']}/reveal"
    rig.api("POST", path, 200, **ask)
    refused(rig, "POST", path, **{**ask, "shows": False})


def records_are_listed_searched_and_exported(rig: Rig) -> None:
    secret = rig.plant()
    for path in ("/credentials", "/credential-audit-logs", "/audit", "/api-audit-log", "/users", "/api-tokens"):
        rig.api("GET", f"{path}?limit=500", 200)
    for query in ("q", "service_name", "username__contains", "external_url"):
        rig.api("GET", f"/credentials?{query}={quote(secret, safe='')}", 200, 400)


def integrations_hold_secrets(rig: Rig) -> None:
    new = {"integration_name": f"tickets {uuid.uuid4()}", "credential_type": "api_key"}
    new |= {"api_base_url": "http://127.0.0.1:9", "probes": [{"scope": "tickets", "path": "/tickets"}]}
    path = f"/integration-credentials/{rig.api('POST', '/integration-credentials', 201, json=new).json()['id']}"
    for field in ("api_key", "password", "oauth_token", "oauth_refresh_token"):
        rig.api("POST", f"{path}/rotate", 200, json={field: rig.plant("api_key")})
        refused(rig, "POST", f"{path}/rotate", json={field: [rig.plant("api_key")]})
        refused(rig, "PATCH", path, json={field: rig.plant("api_key")})
    rig.api("POST", f"{path}/test", 200, json={})
    for place in (path, "/integration-credentials?limit=500", "/audit?table=integration_credentials"):
        rig.api("GET", place, 200)
    rig.api("POST", f"{path}/shred", 200)


def settings_are_secret(rig: Rig) -> None:
    key = f"mail.{uuid.uuid4()}"
    new = {"key": key, "value": rig.plant(), "is_secret": True}
    made = rig.api("POST", "/configurations", 201, json=new).json()
    path = f"/configurations/{made['id']}"
    rig.api("PATCH", path, 200, headers={"if-match": '"1"'}, json={"value": rig.plant("connection_string")})
    refused(rig, "PATCH", path, headers={"if-match": '"2"'}, json={"value_type": "integer", "value": rig.plant()})
    refused(rig, "POST", "/configurations", json=new | {"value": [rig.plant()]})
    for place in (f"/configurations/by-key/{key}", "/configurations?limit=500", "/audit?table=configurations"):
        rig.api("GET", place, 200)


def what_other_programs_have_kept_holds_secrets(rig: Rig) -> None:
    """Those of the vault, which no client knows."""
    _, secret = stored(rig)
    name = f"project {uuid.uuid4()}"
    project = rig.api("POST", "/projects", 201, json={"name": name, "client_id": client(rig)}).json()["id"]
    kept = {"key": name, "source": f"/home/{secret}/notes.md", "digest": "0" * 64}
    kept |= {"title": f"The door {secret}", "text": f"It opens by {secret}.", "tags": [secret]}
    body_of = {"project_id": project, "program": "notes", "memories": [kept]}
    taken = rig.api("POST", "/context-snippets/take-in", 200, json=body_of)
    assert taken.json()["created"] == 1
    [found] = rig.api("GET", f"/context-snippets?project_id={project}", 200).json()["items"]
    assert "[redacted:vault-secret]" in found["dense_content"]
    refused(
        rig, "POST", "/context-snippets/take-in", json=body_of | {"memories": [kept | {"happened_at": "yesterday"}]}
    )
    rig.api("POST", "/recall", 200, json={"question": "which door opens?", "project": project})


def login_names_are_found_and_not_kept_in_clear(rig: Rig) -> None:
    login = rig.plant()
    key = rig.api("POST", "/credentials/store", 200, json=body(rig, login=login)[0]).json()["id"]
    found = rig.api("POST", "/credentials/find-login", 200, json={"login": login.upper()}).json()
    assert key in json.dumps(found)
    rig.api("POST", "/credentials/find-login", 200, json={"login": rig.plant()})
    refused(rig, "POST", "/credentials/find-login", json={"login": [rig.plant()]})
    rig.api("POST", "/credentials/report", 200, json={})


def secrets_are_lent(rig: Rig) -> None:
    key, secret = stored(rig)
    lent = rig.api("POST", f"/credentials/{key}/lease", 200, json={"purpose": "restart the service"}).json()
    lease = f"/credential-leases/{lent['id']}"
    given = rig.api("POST", f"{lease}/inject", 200, shows=True, json={"fields": ["password"]}).json()
    assert given["secrets"] == {"password": secret}
    refused(rig, "POST", f"{lease}/inject", json={"fields": [rig.plant()]})
    refused(rig, "POST", f"{lease}/call", json={"url": f"https://example.com/{rig.plant('api_key')}"})
    rig.api("POST", f"{lease}/release", 200)
    refused(rig, "POST", f"{lease}/inject", json={"fields": ["password"]})
    rig.api("GET", "/credential-leases?limit=500", 200)


def links_show_secrets(rig: Rig) -> None:
    key, secret = stored(rig)
    passphrase = rig.plant()[:100]
    new = {"recipient": "somebody@example.com", "max_views": 1, "passphrase": passphrase}
    asked = {"token": rig.person, "shows": True, "json": new}
    link = rig.api("POST", f"/credentials/{key}/share", 200, **asked).json()["url"].partition("#")[2]
    rig.finder.know("the key of a link", link)
    rig.ask("GET", "/share", 200, token=None)
    refused(rig, "POST", "/share", token=None, json={"token": link, "passphrase": rig.plant()[:100]})
    refused(rig, "POST", "/share", token=None, json={"token": [rig.plant("api_key")]})
    opened = {"token": link, "passphrase": passphrase}
    shown = rig.api("POST", "/share", 200, token=None, shows=True, json=opened).json()
    assert shown["secrets"] == {"password": secret}
    refused(rig, "POST", "/share", token=None, json=opened)
    refused(rig, "POST", f"/credentials/{key}/share", json=new)
    rig.api("GET", "/share-links?limit=500", 200)


def people_have_second_factors_and_programs_tokens(rig: Rig) -> None:
    person = {"email": rig.kept["email"], "password": rig.kept["password"]}
    for code in (rig.plant("api_key")[:40], "000000", rig.kept["codes"][0][:-1]):
        refused(rig, "POST", "/auth/sign-in", token=None, json=person | {"code": code})
        refused(rig, "POST", "/auth/second-factor/confirm", token=rig.person, json={"code": code})
    refused(rig, "POST", "/auth/second-factor/enrol", token=rig.person, json={"password": rig.plant()})
    new = {"name": f"reports {uuid.uuid4()}", "scopes": ["client:read"]}
    issued = rig.api("POST", "/api-tokens/issue", 200, token=rig.person, shows=True, json=new).json()
    rig.finder.know("the token of a program", issued["token"])
    rig.api("GET", "/clients", 200, token=issued["token"])
    rig.api("POST", f"/api-tokens/{issued['id']}/revoke", 200, token=rig.person)
    rig.api("GET", "/clients", 401, token=issued["token"])


# --- secrets where they do not belong -------------------------------------------------------------------------------


def a_change_takes_no_secret(rig: Rig) -> None:
    key, _ = stored(rig)
    for field in ("password", "password_encrypted", "token", rig.plant()):
        refused(rig, "PATCH", f"/credentials/{key}", json={field: rig.plant()})
        refused(rig, "PATCH", "/credentials", json=[{"id": key, field: rig.plant()}])
    refused(rig, "POST", "/credentials", json=body(rig)[0])
    refused(rig, "POST", "/credentials/store", json=[body(rig)[0], body(rig)[0]])


def bodies_that_do_not_fit_are_refused(rig: Rig) -> None:
    new, secret = body(rig)
    key, _ = stored(rig, "token")
    spoilt: list[dict[str, object]] = [
        {"password": [secret]},
        {"password": {"value": secret}},
        {"password": [[{secret: secret}]]},
        {"passwort": secret},
        {secret: secret},
        {"token": secret, "credential_type": "nonsense"},
        {"password": secret + "x" * LONG},
        {"password": f"{secret}\0\ud800"},
        {"password": secret, "client_id": str(uuid.uuid4())},
        {"connection_string": secret, "custom_port": 70_000},
        {"password": secret, "external_url": "no address"},
    ]
    for change in spoilt:
        text = json.dumps(new | change)
        refused(rig, "POST", "/credentials/store", content=text, headers=JSON)
        refused(rig, "POST", f"/credentials/{key}/rotate", content=json.dumps(change), headers=JSON)
    refused(rig, "POST", f"/credentials/{key}/rotate", json={})


def bodies_that_are_no_json_are_refused(rig: Rig) -> None:
    secret = rig.plant("api_key")
    text = json.dumps(body(rig, "api_key")[0])
    for content in (
        text[:-1],
        text + "}",
        text.replace(":", "=", 1),
        f'"{secret}"',
        f"[{json.dumps(secret)}]",
        f"password={secret}",
        f"<password>{secret}</password>",
        b"\xff\xfe" + secret.encode("utf-16-le"),
        secret.encode() + b"\xff",
    ):
        for path in ("/credentials/store", "/auth/sign-in", "/auth/password", "/clients", "/recall"):
            refused(rig, "POST", path, content=content, headers=JSON)
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        refused(rig, "POST", "/auth/sign-in", content=f"password={secret}", headers={"content-type": kind})
    twice = f'{{"credential_type": "password", "service_name": "x", "password": {{}}, "password": ["{secret}"]}}'
    refused(rig, "POST", "/credentials/store", content=twice, headers=JSON)


def secrets_are_sent_where_tokens_ids_and_parameters_belong(rig: Rig) -> None:
    secret = rig.plant("api_key")
    asked = quote(secret, safe="")
    for head in (
        {"authorization": f"Bearer {secret}"},
        {"authorization": f"Basic {secret}"},
        {"authorization": secret},
        {"x-api-key": secret},
        {"cookie": f"session={secret}"},
    ):
        rig.api("GET", "/me", 401, token=None, headers=head)
    head = {"x-request-id": secret, "if-match": f'"{secret}"', "x-surprise": secret, "change-message": secret}
    refused(rig, "PATCH", f"/clients/{client(rig)}", json={"notes": "x"}, headers=head)
    refused(rig, "POST", "/clients", json={}, headers={"idempotency-key": secret})
    for path in (
        f"/credentials/{asked}",
        f"/credentials/{asked}/reveal",
        f"/credentials/by-client/{asked}",
        f"/credential-audit-logs/by-user/{asked}",
        f"/security-incidents/by-status/{asked}",
        f"/{asked}",
        f"/clients/{asked}/{asked}",
        f"/hooks/{asked}/{asked}",
    ):
        rig.api("GET", path)
        rig.api("POST", path, *REFUSED, json={})
        rig.api("GET", path, *REFUSED, token=None)
    for query in (
        f"{asked}=1",
        f"token={asked}",
        f"sort={asked}",
        f"fields={asked}",
        f"after={asked}",
        f"limit={asked}",
        f"since={asked}",
        f"client_id={asked}",
        f"credential_type={asked}",
        f"is_active={asked}",
        f"expires_at__gte={asked}",
        f"dry_run={asked}",
        f"agent=claude-code&session={asked}&source=%00{asked}",
    ):
        for path in ("/credentials", "/capture", "/context-snippets/by-tags", "/audit", "/me"):
            rig.api("GET", f"{path}?{query}")
        refused(rig, "POST", f"/credentials/store?{query}", json={})


def people_mistype_their_passwords(rig: Rig) -> None:
    sign_in = {"email": rig.kept["email"], "password": rig.kept["password"]}
    for change in (
        {"password": rig.plant()},
        {"email": rig.plant()},
        {"email": [rig.plant()]},
        {"password": rig.plant() * 9},
        {"passwort": rig.plant()},
        {"device": rig.plant("api_key") * 9},
    ):
        refused(rig, "POST", "/auth/sign-in", token=None, json=sign_in | change)
    for new in ({"password": rig.plant(), "current": rig.plant()}, {"password": rig.plant(), "current": 7}):
        refused(rig, "POST", "/auth/password", token=rig.person, json=new)
    for path in ("refresh", "sign-out"):
        rig.api("POST", f"/auth/{path}", token=None, json={"refresh_token": rig.plant("api_key")})
        refused(rig, "POST", f"/auth/{path}", token=None, json={"refresh_token": [rig.plant("api_key")]})
    code = {"code": rig.plant("totp_seed"), "machine": {"hostname": "x", "machine_fingerprint": "0123456789"}}
    refused(rig, "POST", "/auth/setup", token=None, json=code)
    refused(rig, "POST", "/auth/setup", token=None, json=code | {"code": [rig.plant("totp_seed")]})
    refused(rig, "POST", "/auth/agent-token", json={"task_grant_id": rig.plant("api_key")})
    user = rig.api("GET", "/me", 200).json()["user"]["id"]
    for change in ({"password_hash": rig.plant()}, {"email": [rig.plant()]}, {rig.plant(): 1}):
        refused(rig, "PATCH", f"/users/{user}", json=change)


def tokens_of_the_hub_are_spoilt_and_misplaced(rig: Rig) -> None:
    for token in (rig.token, rig.person, rig.kept["refresh"]):
        for bearer in (token[:-1], f"{token}x", f"{token}.{token}"):
            rig.api("GET", "/me", 401, token=bearer)
        rig.api("GET", f"/clients/{token}?token={token}", 400, 404, headers={"user-agent": token})
        rig.api("GET", f"/me/{token}", 404)
        rig.api("POST", "/auth/refresh", *REFUSED, token=None, json={"refresh_token": f"{token[:-1]}x"})
    rig.api("GET", "/me", 401, token=rig.kept["refresh"])


def questions_and_prompts_are_not_kept(rig: Rig) -> None:
    """What is said in a session is kept as it was said; what is only asked is not."""
    folder = {"path": "/srv/bakery", "marker": "bakery"}
    rig.api("POST", "/projects/identify", 200, json=folder)
    rig.api("POST", "/recall", 200, json={"question": rig.plant(), "identity": {"path": "/srv/bakery"}})
    head = {"x-worklore-marker": "bakery", "x-worklore-cwd": quote("/srv/bakery")}
    for event in ("UserPromptSubmit", "SessionStart"):
        said = {"session_id": "a1", "hook_event_name": event, "cwd": "/srv/bakery", "prompt": rig.plant("token")}
        rig.api("POST", f"/hooks/claude-code/{event}", 200, json=said, headers=head)
        refused(rig, "POST", f"/hooks/claude-code/{event}", content=f"no json {rig.plant()}")
    rig.api("GET", "/conversation-contexts/recall?tags=vpn", 200, 400)


# --- faults of the hub's own ----------------------------------------------------------------------------------------


def a_value_that_is_damaged_is_not_shown(rig: Rig) -> None:
    key, _ = stored(rig)
    rig.sql(update(Credential).where(Credential.id == uuid.UUID(key)).values(password_encrypted=b"\0"))
    ask = {"reason": "the server does not answer"}
    rig.api("POST", f"/credentials/{key}/reveal", 503, token=rig.person, json=ask)


def a_fault_in_the_middle_is_told_by_an_id_alone(rig: Rig) -> None:
    """The table of touches is gone: what fails has the secret in its hands."""
    key, _ = stored(rig)
    rig.sql("ALTER TABLE credential_audit_log RENAME TO mislaid")
    try:
        for kind in KINDS:
            told = rig.api("POST", "/credentials/store", 500, json=body(rig, kind)[0]).json()
            assert told["code"] == "internal"
        rig.api("POST", f"/credentials/{key}/rotate", 500, json={"password": rig.plant()})
        rig.api("POST", f"/credentials/{key}/reveal", 500, token=rig.person, json={"reason": "to see"})
    finally:
        rig.sql("ALTER TABLE mislaid RENAME TO credential_audit_log")
    rig.api("POST", f"/credentials/{key}/rotate", 200, json={"password": rig.plant()})


def connections_are_lost_under_the_hub(rig: Rig) -> None:
    """SQLite has none to lose."""
    for kind in KINDS:
        rig.hang_up()
        rig.api("POST", "/credentials/store", 200, 503, json=body(rig, kind)[0])


def the_hub_is_aborted_with_secrets_in_hand(rig: Rig) -> None:
    """It has faulthandler's trace written, while one body is half read. It dumps no core, or none that it makes."""
    port = int(rig.url.rpartition(":")[2])
    text = json.dumps(body(rig)[0]).encode()
    head = f"POST /api/v1/credentials/store HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {rig.token}\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=30) as half:
        half.sendall(f"{head}Content-Type: application/json\r\nContent-Length: {len(text) + 1}\r\n\r\n".encode() + text)
        rig.api("POST", "/credentials/store", 200, json=body(rig)[0])
        assert rig.end(signal.SIGABRT) == -signal.SIGABRT
    rig.start()
    rig.api("GET", "/me", 200)


# --- commands -------------------------------------------------------------------------------------------------------


def commands_are_typed(rig: Rig) -> None:
    rig.connect()
    new, secret = body(rig)
    key = json.loads(rig.command("credential", "store", "--json", "-", stdin=json.dumps(new)))["id"]
    rotated = json.dumps({"password": rig.plant()})
    rig.command("credential", "rotate", key, "--json", "-", stdin=rotated)
    rig.command("credential", "store", "--json", "-", stdin=json.dumps(new | {"passwort": secret}), status=1)
    rig.command("credential", "set", key, f"password={secret}", status=2)
    for options in (["list"], ["list", "--json", "--all"], ["list", "--csv"], ["show", key], ["show", key, "--json"]):
        rig.command("credential", *options)
    rig.command("credential", "list", "--search", secret)
    for noun in ("credential-audit-log", "api-audit-entry", "user", "api-token"):
        rig.command(noun, "list", "--csv")


def backups_and_exports_are_made(rig: Rig) -> None:
    rig.hub_command("backup", "create")
    rig.hub_command("audit", "export")


def an_encrypted_backup_is_made_and_settings_are_shown(rig: Rig) -> None:
    file = rig.folder / "passphrase"
    file.touch(mode=0o600)
    file.write_text(PASSPHRASE)
    rig.finder.know("the passphrase of the backups", PASSPHRASE)
    rig.hub_command("backup", "create", "--encrypt", WORKLORE_BACKUP_KEY_FILE=str(file))
    rig.hub_command("config", "show")


def documents_are_read(rig: Rig) -> None:
    for path in ("/api/openapi.json", "/api/docs", "/healthz", "/readyz"):
        rig.ask("GET", path, 200, token=None)


STEPS = (
    Step(secrets_of_each_kind_are_stored_rotated_and_shown_when_asked_for),
    Step(a_dry_run_leaves_nothing),
    Step(a_request_is_repeated_under_its_key),
    Step(records_are_listed_searched_and_exported),
    Step(integrations_hold_secrets),
    Step(settings_are_secret),
    Step(what_other_programs_have_kept_holds_secrets),
    Step(login_names_are_found_and_not_kept_in_clear),
    Step(secrets_are_lent),
    Step(links_show_secrets),
    Step(people_have_second_factors_and_programs_tokens, once=True),
    Step(a_change_takes_no_secret),
    Step(bodies_that_do_not_fit_are_refused),
    Step(bodies_that_are_no_json_are_refused),
    Step(secrets_are_sent_where_tokens_ids_and_parameters_belong),
    Step(people_mistype_their_passwords),
    Step(tokens_of_the_hub_are_spoilt_and_misplaced),
    Step(questions_and_prompts_are_not_kept),
    Step(a_value_that_is_damaged_is_not_shown),
    Step(a_fault_in_the_middle_is_told_by_an_id_alone),
    Step(connections_are_lost_under_the_hub),
    Step(documents_are_read, once=True),
    Step(commands_are_typed, once=True),
    Step(backups_and_exports_are_made, once=True),
    Step(an_encrypted_backup_is_made_and_settings_are_shown, once=True, anywhere=True),
    Step(the_hub_is_aborted_with_secrets_in_hand, once=True, anywhere=True),
)
"""All ways in, in the order they are gone."""
