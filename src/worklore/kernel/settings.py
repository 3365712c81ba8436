"""Settings: one class, filled from the environment and a file that only its owner may read.

Only the composition root reads them. ``describe`` tells where each value came from and masks what is secret.
"""

import os
import stat
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from worklore.kernel.errors import UnavailableError

PREFIX: Final = "WORKLORE_"


def config_file() -> Path:
    """The file of settings: ``WORKLORE_CONFIG``, or ``worklore/hub.env`` in the user's configuration folder."""
    named = os.environ.get(f"{PREFIX}CONFIG")
    if named:
        return Path(named).expanduser()
    return Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser() / "worklore" / "hub.env"


def data_folder() -> Path:
    """Where the hub keeps its database and key unless told otherwise."""
    return Path(os.environ.get("XDG_DATA_HOME") or "~/.local/share").expanduser() / "worklore"


class Settings(BaseSettings):
    """Everything an operator may set, by ``WORKLORE_<NAME>`` or the same line in the file of settings."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, extra="ignore")

    data: Path = Field(default_factory=data_folder, description="Folder of the database file and the hub's key.")
    database_url: SecretStr | None = Field(
        default=None, description="sqlite:///path, mariadb://user@host/name or postgresql://user@host/name."
    )
    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8420, ge=0, le=65535, description="Port to listen on; 0 takes any free one.")
    public_url: str | None = Field(default=None, description="The address people use, when a proxy stands in front.")
    log_level: str = Field(default="info", description="debug, info, warning or error.")
    ballast_mib: int = Field(
        default=16,
        ge=0,
        le=1024,
        description="MiB kept in reserve beside a SQLite file for a full disk; 0 for none.",
    )
    access_minutes: int = Field(default=10, ge=1, le=60, description="Life of an access token.")
    token_days: int = Field(default=90, ge=1, le=3650, description="Life of a machine's token.")
    second_factor: Literal["vault", "enrolled"] = Field(
        default="vault",
        description="vault: secrets are shown to people who gave a second factor; enrolled: only who has one needs it.",
    )
    prices: Path | None = Field(
        default=None, description="File of prices of models, for what sessions cost; it goes before the known ones."
    )
    job_threads: int = Field(default=2, ge=1, le=32, description="Threads that carry out background jobs.")
    backup_folder: Path | None = Field(default=None, description="Folder of backups; backups in the data folder.")
    backup_key_file: Path | None = Field(default=None, description="File of the passphrase that encrypts backups.")
    vault_keyring: Path | None = Field(
        default=None, description="File of the vault's keys; keyring in the data folder."
    )
    vault_keys: SecretStr | None = Field(default=None, description="The vault's keys themselves, id:key, in no file.")
    vault_key_command: str | None = Field(default=None, description="A command that prints the vault's keys, id:key.")
    distil: str = Field(
        default="off", description="The model that may shorten texts; off, for the hub comes with none."
    )
    keep_api_audit_days: int = Field(default=90, ge=1, le=36500, description="Days the log of requests is kept.")
    keep_injections_days: int = Field(
        default=365, ge=1, le=36500, description="Days the notes of what agents were told are kept."
    )
    keep_events_days: int = Field(default=30, ge=1, le=36500, description="Days a delivered event is kept.")
    keep_tombstones_days: int = Field(
        default=365, ge=1, le=36500, description="Days the news that a record was deleted is kept."
    )
    keep_jobs_days: int = Field(default=30, ge=1, le=36500, description="Days an ended background job is kept.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the library's signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the library's signature
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments win over the environment, the environment over the file."""
        return init_settings, env_settings, dotenv_settings

    @property
    def url(self) -> str:
        """The database's URL."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite:///{self.data / 'worklore.db'}"

    @property
    def backups(self) -> Path:
        """The folder of backups."""
        return (self.backup_folder or self.data / "backups").expanduser()


def load(**given: Any) -> Settings:
    """The settings in force. ``given`` are values of the command line; None means not given.

    Raises:
        UnavailableError: a value does not fit, or others may read the file of settings.
    """
    file = config_file()
    if file.exists() and os.name == "posix" and stat.S_IMODE(file.stat().st_mode) & 0o077:
        raise UnavailableError(f"Others may read {file}.", hint="Make it yours alone (mode 600).", code="config-open")
    try:
        return Settings(
            _env_file=file if file.exists() else None,  # pyright: ignore[reportCallIssue] - a parameter of the library
            **{name: value for name, value in given.items() if value is not None},
        )
    except ValidationError as error:
        first = error.errors()[0]
        name = PREFIX + "_".join(str(part) for part in first["loc"]).upper()
        raise UnavailableError(
            f"{name}: {first['msg']}.", hint="Correct it and start again.", code="config-value"
        ) from error


def describe(settings: Settings) -> list[dict[str, str]]:
    """Name, value (masked when secret), source and meaning of each setting."""
    file = config_file()
    lines = file.read_text().splitlines() if file.exists() else []
    in_file = {line.partition("=")[0].strip().upper() for line in lines}
    rows: list[dict[str, str]] = []
    for name, field in type(settings).model_fields.items():
        variable = PREFIX + name.upper()
        value = getattr(settings, name)
        source = "environment" if os.environ.get(variable) else str(file) if variable in in_file else "default"
        shown = "" if value is None else str(value)
        rows.append({"name": variable, "value": shown, "source": source, "meaning": field.description or ""})
    return rows
