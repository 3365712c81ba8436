"""The tree of work items, where records go."""

from typing import Any

import httpx2


def test_what_hung_from_a_deleted_item_is_a_root_with_its_own_below(api: httpx2.Client) -> None:
    def item(parent: str | None) -> dict[str, Any]:
        made = api.post("/work-items", json={"title": "Replace the switch", "parent_id": parent})
        assert made.status_code == 201, made.text
        return made.json()

    top = item(None)
    middle = item(top["id"])
    lowest = item(middle["id"])
    assert (lowest["path"], lowest["depth"]) == (f"/{top['id']}/{middle['id']}/", 2)
    assert api.delete(f"/work-items/{top['id']}").status_code == 204
    middle, lowest = (api.get(f"/work-items/{record['id']}").json() for record in (middle, lowest))
    assert (middle["parent_id"], middle["path"], middle["depth"]) == (None, "/", 0)
    assert (lowest["parent_id"], lowest["path"], lowest["depth"]) == (middle["id"], f"/{middle['id']}/", 1)


def test_deleting_a_client_takes_its_key_off_what_names_a_project_that_goes_too(api: httpx2.Client) -> None:
    client = api.post("/clients", json={"name": "Example & Söhne", "type": "msp_client"}).json()
    project = api.post("/projects", json={"client_id": client["id"], "name": "Mail"}).json()
    snippet = api.post(
        "/context-snippets",
        json={"project_id": project["id"], "category": "pattern", "title": "Relay", "dense_content": "Port 587"},
    )
    assert snippet.status_code == 201, snippet.text
    assert snippet.json()["client_id"] == client["id"]
    gone = api.delete(f"/clients/{client['id']}?cascade=true")
    assert gone.status_code == 204, gone.text
    left = api.get(f"/context-snippets/{snippet.json()['id']}").json()
    assert (left["client_id"], left["project_id"]) == (None, None)
