"""Which commands put software somewhere: rules as data.

A rule names a program, the words that must follow it and how to read what it put where. A command that only tries
(`--dry-run`, `--check`) is no deployment.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from worklore.memory.trail.hosts import remote_host, targets
from worklore.memory.trail.shell import Invocation

TRIES: Final = ("--dry-run", "--dryrun", "--check", "--noop", "-WhatIf", "--help", "--plan")


@dataclass(frozen=True, slots=True)
class Shipment:
    """What a command puts where. Texts are empty where it does not say; `host` is a host that it names."""

    kind: str
    target: str = ""
    version: str = ""
    host: str = ""


Target = Callable[[Invocation], str]


@dataclass(frozen=True, slots=True)
class Rule:
    """`program` followed by `words`, options apart; each word may have choices, separated by a bar."""

    kind: str
    program: str
    words: str = ""
    target: Target = lambda _: ""
    tries: tuple[str, ...] = ()


def _last_word(found: Invocation) -> str:
    words = found.words()
    return words[-1] if words else ""


def _pushed(found: Invocation) -> str:
    return " ".join(found.words()[1:3])


def _namespace(found: Invocation) -> str:
    where = [found.option("--context", "--kube-context"), found.option("-n", "--namespace")]
    return "/".join(filter(None, where)) or (found.words()[1:2] or [""])[0]


def _inventory(found: Invocation) -> str:
    return found.option("-l", "--limit") or found.option("-i", "--inventory")


def _unit(found: Invocation) -> str:
    return " ".join(found.words()[1:4]) or _last_word(found)


def _service_unit(found: Invocation) -> str:
    return (found.words() or [""])[0]


RULES: Final = (
    Rule("git_push", "git", "push", _pushed, ("-n", "--delete", "-d")),
    Rule("container_image", "docker|podman|buildah|skopeo", "push|copy", _last_word),
    Rule("container", "docker|podman", "compose up|restart|create", _namespace),
    Rule("container", "docker-compose|podman-compose", "up|restart", _last_word),
    Rule("container", "docker", "stack|service deploy|update|create", _last_word),
    Rule("container", "docker|podman", "run|restart", _last_word),
    Rule("kubernetes", "kubectl|oc", "apply|replace|create|patch|scale", _namespace),
    Rule("kubernetes", "kubectl|oc", "rollout restart|undo", _namespace),
    Rule("kubernetes", "kubectl|oc", "set image", _namespace),
    Rule("kubernetes", "helm", "upgrade|install|rollback", _namespace),
    Rule("kubernetes", "argocd", "app sync|rollback", _last_word),
    Rule("kubernetes", "helmfile", "apply|sync", _namespace),
    Rule("infrastructure_as_code", "terraform|tofu|terragrunt", "apply|destroy", lambda found: found.option("-chdir")),
    Rule("infrastructure_as_code", "pulumi", "up", lambda found: found.option("-s", "--stack")),
    Rule("infrastructure_as_code", "cdk|sam|sls|serverless", "deploy", _last_word),
    Rule("configuration", "ansible-playbook", "", _inventory, ("-C", "--syntax-check", "--list-hosts")),
    Rule("configuration", "salt", "", _service_unit),
    Rule("configuration", "nixos-rebuild", "switch|boot"),
    Rule("service_restart", "systemctl", "restart|reload|reload-or-restart|start|enable", _unit),
    Rule("service_restart", "supervisorctl|pm2|rc-service|brew", "restart|reload", _unit),
    Rule("service_restart", "service", "", _service_unit),
    Rule("service_restart", "restart-service|start-service", "", _service_unit),
    Rule("package", "npm|pnpm|yarn|cargo|poetry|uv|flit|hatch|lerna|vsce", "publish", _last_word),
    Rule("package", "twine", "upload", _last_word),
    Rule("package", "gem|nuget", "push", _last_word),
    Rule("package", "dotnet", "nuget push", _last_word),
    Rule("package", "mvn|mvnw", "deploy"),
    Rule("package", "gradle|gradlew", "publish"),
    Rule("release", "gh|glab", "release create", _last_word),
    Rule("platform", "fly|flyctl|netlify|firebase|wrangler|railway|eb|now", "deploy|publish|up", _last_word),
    Rule("platform", "vercel", "deploy"),
    Rule("platform", "gcloud", "app|run|functions deploy", _last_word),
    Rule(
        "platform",
        "az",
        "webapp|functionapp|containerapp up|deploy|deployment|update",
        lambda f: f.option("-n", "--name"),
    ),
    Rule("platform", "aws", "s3 sync|cp", _last_word),
    Rule("platform", "aws", "ecs|lambda update-service|update-function-code", lambda f: f.option("--service")),
    Rule("platform", "cap|kamal|dep", "deploy", _last_word),
)
"""Alike in shape: kind, programs, the words behind it, where what it puts goes to, further ways of only trying."""

_BY_PROGRAM: Final = {
    program: [rule for rule in RULES if program in rule.program.split("|")]
    for program in {program for rule in RULES for program in rule.program.split("|")}
}

RESTARTS: Final = frozenset({"restart", "reload", "start", "force-reload"})
_TAG: Final = re.compile(r"[\w./-]+[:@](?P<version>[\w][\w.+-]{0,99})")
_VERSION: Final = re.compile(r"v?\d+\.\d+(?:\.\d+)?(?:[.+-][\w.]+)?")


def shipments(found: Sequence[Invocation]) -> list[Shipment]:
    """What the programs of a command put somewhere, in their order."""
    return [shipment for invocation in found for shipment in _of(invocation)]


def _of(found: Invocation) -> Iterator[Shipment]:
    if found.program in {"scp", "rsync"}:
        yield from _copied(found)
        return
    for rule in _BY_PROGRAM.get(found.program, ()):
        if _follow(found, rule.words) and not found.has(*TRIES, *rule.tries) and _really(found):
            host = found.host or next(iter(targets(found)), "")
            yield Shipment(rule.kind, rule.target(found)[:500], _version(found), host)
            return


def _copied(found: Invocation) -> Iterator[Shipment]:
    words = found.words()
    host = remote_host(words[-1]) if words else ""
    short = [argument for argument in found.arguments if argument.startswith("-") and not argument.startswith("--")]
    tries = found.has("--dry-run") or (found.program == "rsync" and any("n" in options for options in short))
    if host and not tries:
        yield Shipment("file_copy", words[-1][:500], "", host)


def _follow(found: Invocation, wanted: str) -> bool:
    """Whether the arguments begin as wanted, but for options and their values, as in `kubectl -n shop apply`."""
    choices = wanted.split()
    valued = False
    for argument in found.arguments:
        if not choices:
            return True
        if argument.startswith("-"):
            valued = "=" not in argument
        elif argument in choices[0].split("|"):
            choices, valued = choices[1:], False
        elif valued:
            valued = False
        else:
            return False
    return not choices


def _really(found: Invocation) -> bool:
    """`service x status` restarts nothing, a container that is run and thrown away is deployed nowhere."""
    if found.program == "service":
        return _last_word(found) in RESTARTS
    if found.program in {"docker", "podman"} and "run" in found.words()[:1]:
        return found.has("-d", "--detach", "-dit", "-itd")
    return True


def _version(found: Invocation) -> str:
    named = found.option("--version", "--tag", "-t")
    if _VERSION.fullmatch(named):
        return named[:100]
    for word in reversed(found.words()):
        if _VERSION.fullmatch(word):
            return word[:100]
        tag = _TAG.fullmatch(word)
        if tag and found.program in {"docker", "podman", "kubectl", "oc", "skopeo", "buildah"}:
            return tag["version"]
    return ""
