from typing import Any


def test_the_process_and_the_database_answer_without_a_token(hub: Any) -> None:
    with hub.client() as anyone:
        alive, ready = anyone.get(f"{hub.url}/healthz"), anyone.get(f"{hub.url}/readyz")
    assert alive.status_code == 200
    assert alive.json()["status"] == "ok"
    assert ready.json() == {
        "status": "ready",
        "database": hub.dialect,
        "vault": "open",
        "disk": "ok",
        "recall": "meaning",
    }


def test_the_owner_is_told_who_they_are(api: Any) -> None:
    told = api.get("/me").json()
    assert told["kind"] == "user"
    assert told["scopes"] == ["*"]
    assert told["clients"] is None
