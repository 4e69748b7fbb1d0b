"""The settings of a home: flag > environment (`MILLRACE_*`) > `millrace.toml` in the home > default."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from flows.language.report import near
from schemas.errors import InvalidInput
from schemas.flow.words import bad_tenant

PREFIX: Final = "MILLRACE_"
FILE: Final = "millrace.toml"
NO_TENANT: Final = "-"  # asks for what has no readable tenant
DEFAULT_HOME: Final = Path(".millrace")


class Settings(BaseSettings):
    """What a person may set. Sizes are in the unit of the name; unknown keys of the file are refused by name."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, extra="forbid", frozen=True)

    home: Path = Field(DEFAULT_HOME, description="the folder that holds all state")
    tenant: str | None = Field(None, description="the tenant that lists show and that `send` fills in")
    clock: Literal["wall", "events"] = Field("wall", description="whose time it is: the machine's, or that of the events")
    default_tenant: str | None = Field(None, description="the engine's tenant for events that name none; off by default")
    port: int = Field(0, ge=0, le=65_535, description="where the server speaks HTTP on 127.0.0.1; 0: the last one, or a free one")
    crashes_a_minute: int = Field(5, ge=1, description="crashes of one role within a minute that stop `up`")
    retention_days: int = Field(7, ge=1, le=36_500, description="days that topics keep what every role has read")
    ended_days: int = Field(
        30, ge=3, le=36_500, description="days that the engine knows what has ended, to drop its causes where they come again"
    )
    tenant_weights: dict[str, int] = Field(
        {}, description="shares of tenants that ask for more than theirs; 1 where nothing is said"
    )
    batch_rows: int = Field(1_000, ge=1, le=100_000, description="the records that `send` appends at once")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read flags first, then the environment, then the file of the home that these name."""
        del dotenv_settings, file_secret_settings
        home = Path(init_settings().get("home") or os.environ.get(PREFIX + "HOME") or DEFAULT_HOME)
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml_file=home / FILE)


def load_settings(**flags: Any) -> Settings:
    """Read the settings; a flag of None was not given. Raises InvalidInput that names each bad key and where it stands."""
    given = {key: value for key, value in flags.items() if value is not None}
    try:
        settings = Settings(**given)
    except ValidationError as error:
        raise InvalidInput("\n".join(_problem(part["loc"], part["msg"]) for part in error.errors())) from error
    except tomllib.TOMLDecodeError as error:
        raise InvalidInput(f"{FILE} of the home is not TOML: {error}; correct it or remove it") from error
    if settings.tenant is not None and settings.tenant != NO_TENANT and (wrong := bad_tenant(settings.tenant)):
        raise InvalidInput(f"tenant (--tenant, {PREFIX}TENANT or {FILE}): {wrong}")
    return settings.model_copy(update={"home": settings.home.expanduser()})


def _problem(place: tuple[int | str, ...], message: str) -> str:
    key = ".".join(str(part) for part in place)
    known = ", ".join(Settings.model_fields)
    if message.startswith("Extra inputs"):
        return f"'{key}' in {FILE} is no setting{near(key, Settings.model_fields)}; the settings are {known}"
    return f"setting '{key}' ({FILE}, {PREFIX}{key.upper()} or its flag): {message}; the settings are {known}"
