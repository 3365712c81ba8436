"""Which project a folder belongs to, told from files alone: a hook has no time to start git."""

from worklore_client.events import SEPARATOR, read_text, system


def find_project(folder: str) -> tuple[str, str, str]:
    """(root, remote, marker) of the project around `folder`, by reading files alone.

    The root is the nearest folder upwards with ``.git`` (a folder, or the file of a worktree or submodule), else with
    the marker file ``.worklore/project``, else `folder`. Remote and marker are "" where there is none; a remote never
    carries credentials. ``insteadOf`` and ``include`` of git's configuration are not followed.
    """
    folder = folder.rstrip(SEPARATOR) or SEPARATOR
    here, marker, marked = folder, "", ""
    for _ in range(64):
        if not marker:
            marker = (read_text(here + SEPARATOR + ".worklore" + SEPARATOR + "project", 1024) or "").strip()
            marker = marker.split("\n")[0].strip()[:200]
            marked = here if marker else ""
        git = here + SEPARATOR + ".git"
        try:
            system.stat(git)
        except OSError:
            parent = here.rstrip(SEPARATOR).rpartition(SEPARATOR)[0]
            if not parent or parent == here:
                break
            here = parent
        else:
            return here, without_credentials(_remote_of(git)), marker
    return marked or folder, "", marker


def _remote_of(git: str) -> str:
    pointer = read_text(git, 4096)  # None for a folder
    if pointer is not None:
        if not pointer.startswith("gitdir:"):
            return ""
        git = _joined(git.rpartition(SEPARATOR)[0], pointer[7:].strip())
    common = read_text(git + SEPARATOR + "commondir", 4096)
    if common is not None:
        git = _joined(git, common.strip())
    return remote_url(read_text(git + SEPARATOR + "config") or "")


def _joined(folder: str, path: str) -> str:
    absolute = path.startswith(("/", "\\")) or path[1:2] == ":"
    return path if absolute else folder + SEPARATOR + path


def remote_url(config: str) -> str:
    """The url of ``origin`` in a git configuration, else of the first remote, else ""."""
    urls: dict[str, str] = {}
    remote = ""
    for raw in config.split("\n"):
        line = raw.strip()
        if line.startswith("["):
            section, _, name = line[1:].partition(" ")
            remote = name.strip().rstrip("]").strip('"') if section.lower() == "remote" else ""
        elif remote:
            key, equals, value = line.partition("=")
            if equals and key.strip().lower() == "url" and remote not in urls:
                urls[remote] = value.strip().strip('"')
    for url in urls.values():
        return urls.get("origin", url)
    return ""


def without_credentials(remote: str) -> str:
    """A git remote without user, password, query and fragment (``git@host:path`` keeps its user: it is no secret).

    Where a password holds characters it should not, rather too much goes than too little: everything up to the last @.
    """
    scheme, separator, rest = remote.partition("://")
    if not separator:
        user, at, place = remote.partition("@")
        return place if at and ":" in user else remote
    authority, slash, path = rest.partition("/")
    if ":" in authority or "." not in authority:
        rest = rest.rpartition("@")[2]
    else:
        rest = authority.rpartition("@")[2] + slash + path
    return scheme + "://" + rest.partition("#")[0].partition("?")[0]
