"""How large a made-up provider is."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Profile:
    """A size: how many clients, and how many sessions a client of middling size has in two years."""

    name: str
    clients: int
    sessions: int

    @property
    def technicians(self) -> int:
        """People who do the work."""
        return min(40, max(3, self.clients // 6))


PROFILES: Final = {
    profile.name: profile
    for profile in (Profile("small", 5, 30), Profile("medium", 50, 190), Profile("large", 500, 240))
}
