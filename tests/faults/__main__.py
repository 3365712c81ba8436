"""``make kill``: every transcript twice, killed at random moments, compared with an undisturbed run.

Ends with 0 when nothing was lost, nothing doubled and no hook failed, with 1 otherwise, and stops by itself.
"""

import argparse
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import worklore_cli
from tests.faults.campaign import FLUSHER_LIMIT, HUB_LIMIT, Campaign, replay, send_large
from tests.faults.rig import Done, HubProcess, Station, Window
from tests.faults.samples import MEGABYTE, Session, write_samples

SHIPPED = Path(worklore_cli.__file__).parent / "demo.jsonl"
LARGE = 200 * MEGABYTE
SECONDS = 600
HUB_KILLS_OF_TEN = 2


@dataclass
class Table:
    """What was seen, line by line, and whether it is as it must be."""

    rows: list[tuple[str, str, bool]] = field(default_factory=list[tuple[str, str, bool]])

    def add(self, what: str, figure: object, good: bool = True) -> None:
        self.rows.append((what, str(figure), good))
        sys.stdout.write(f"{'  ' if good else '! '}{what:54}{figure}\n")
        sys.stdout.flush()

    @property
    def good(self) -> bool:
        return all(good for _, _, good in self.rows)


def main() -> int:
    options = _options()
    paths = sorted(options.folder.glob("*.jsonl")) if options.folder else []
    if options.folder and not paths:
        sys.exit(f"make kill: no transcript (*.jsonl) in {options.folder}")
    seed = options.seed if options.seed is not None else random.randrange(1_000_000)
    signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(SECONDS)
    table = Table()
    with tempfile.TemporaryDirectory(prefix="worklore-kill-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        chosen = paths or [SHIPPED, *write_samples(folder / "samples")]
        table.add("transcripts", f"{len(chosen)}, {sum(path.stat().st_size for path in chosen) / MEGABYTE:.1f} MB")
        drill = Drill(folder, chosen, options.kills, seed, table)
        try:
            drill.run(options.large * MEGABYTE)
        except (AssertionError, TimeoutError) as error:
            table.add("stopped", error, good=False)
    signal.alarm(0)
    sys.stdout.write("Nothing lost, nothing doubled.\n" if table.good else f"FAILED; --seed {seed} kills alike\n")
    return 0 if table.good else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make kill", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, help="transcripts (*.jsonl) [the shipped sample and made ones]")
    parser.add_argument("--kills", type=int, default=50, help="how many kills must hit [50]")
    parser.add_argument("--large", type=int, default=LARGE // MEGABYTE, help="size of the large transcript in MB [200]")
    parser.add_argument("--seed", type=int, help="of the random choices, to repeat them")
    return parser.parse_args()


def _too_long(_signal: int, _frame: FrameType | None) -> None:
    raise TimeoutError(f"not done within {SECONDS} seconds")


@contextmanager
def _hub(folder: Path) -> Iterator[tuple[HubProcess, Station]]:
    """A hub and a machine connected to it; both gone at the end, whatever happens."""
    hub, station = HubProcess(folder / "hub"), Station(folder / "workshop-pc")
    try:
        hub.start()
        station.prepare()
        station.connect(hub.url, hub.code())
        yield hub, station
    finally:
        hub.stop()
        station.kill_flushers()


@dataclass
class Drill:
    """One run of it all."""

    folder: Path
    paths: Sequence[Path]
    kills: int
    seed: int
    table: Table

    def run(self, large: int) -> None:
        """`large` is the size in bytes of the last transcript, 0 for none."""
        expected, done = self._undisturbed()
        with _hub(self.folder / "rough") as (hub, station):
            self._disturbed(hub, station, expected)
            found, wanted = Counter(_comparable(hub.trail())), Counter(_comparable(done))
            apart = (found - wanted).total() + (wanted - found).total()
            self.table.add("disturbed: rows of the trail lost, doubled or changed", apart, good=not apart)
            if large:
                self._large(hub, station, large)
            self.table.add("errors in the hub's log", hub.log().count("Traceback"), good="Traceback" not in hub.log())

    def _undisturbed(self) -> tuple[list[Window], list[Done]]:
        """Replay twice without any trouble; the windows and the trail."""
        add = self.table.add
        with _hub(self.folder / "calm") as (hub, station):
            first = replay(station, self.paths)
            add("undisturbed: hooks run, failing", f"{first['hooks']}, {first['failures']}", good=not first["failures"])
            add("undisturbed: a hook took, p50 and p95, ms", "{p50}, {p95}".format(**first["milliseconds"]))
            add("undisturbed: hooks that gave up in silence", first["silent"] or "none")
            expected, done, counts = hub.windows(), hub.trail(), hub.counts()
            add("undisturbed: windows", len(expected), good=bool(expected))
            second = replay(station, self.paths)
            grown = {name: rows - counts[name] for name, rows in hub.counts().items() if rows != counts[name]}
            add("undisturbed, again: hooks failing", second["failures"], good=not second["failures"])
            add("undisturbed, again: rows added", grown or "none", good=not grown)
            return expected, done

    def _disturbed(self, hub: HubProcess, station: Station, expected: list[Window]) -> None:
        add, chance = self.table.add, random.Random(self.seed)
        of_hub = self.kills * HUB_KILLS_OF_TEN // 10
        planned = ["hub"] * of_hub + [chance.choice(("hook", "flusher")) for _ in range(self.kills - of_hub)]
        campaign = Campaign(hub, station, planned, self.seed)
        begun = time.monotonic()
        campaign.run(self.paths)
        add(f"disturbed: passes, seconds (seed {self.seed})", f"{campaign.passes}, {time.monotonic() - begun:.0f}")
        hit = ", ".join(f"{count} {who}" for who, count in sorted(campaign.killed.items()))
        total = campaign.killed.total()
        add("disturbed: killed -9", f"{total} ({hit})", good=total == self.kills)
        add("disturbed: hooks left alone, failing", f"{campaign.hooks}, {len(campaign.failing)}", not campaign.failing)
        for failure in campaign.failing[:10]:
            add("", failure, good=False)
        found, wanted = Counter(hub.windows()), Counter(expected)
        lost, more = wanted - found, found - wanted
        add("disturbed: windows lost", lost.total(), good=not lost)
        add("disturbed: windows doubled or changed", more.total(), good=not more)
        add("disturbed: rows added after the first pass", campaign.grown or "none", good=not campaign.grown)
        for who, windows in (("lost", lost), ("more", more)):
            for window in list(windows)[:5]:
                place = f"{window[0]} {window[1]} ordinal {window[2]} part {window[3]}"
                add(f"  {who}", place, good=False)

    def _large(self, hub: HubProcess, station: Station, size: int) -> None:
        add, session = self.table.add, Session("large")
        found = send_large(hub, station, session, self.folder / "large.jsonl", size)
        add("large: bytes, seconds", f"{found.size / MEGABYTE:.0f} MB, {found.seconds:.1f}")
        windows, wanted = len(hub.windows(session.id)), 3 * found.turns
        add("large: windows, wanted", f"{windows}, {wanted}", good=windows == wanted)
        flusher, growth = found.flusher // MEGABYTE, found.hub_growth // MEGABYTE
        add("large: flusher's peak memory, MB", flusher, good=0 < found.flusher < FLUSHER_LIMIT)
        add("large: hub's growth, MB", growth, good=found.hub_growth < HUB_LIMIT)


def _comparable(trail: list[Done]) -> list[Done]:
    """All but the host of the machine and what a session is called on one hub."""
    left_out = {"commands_run": 4, "conversation_contexts": 2}
    return [row[: left_out.get(row[1], 99)] + row[left_out.get(row[1], 99) + 1 :] for row in trail]


if __name__ == "__main__":
    sys.exit(main())
