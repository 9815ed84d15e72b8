"""One installation of mmd: where its files are, its configuration, the outside world it means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmd.config.load import load
from mmd.config.model import Settings
from mmd.config.paths import Paths
from mmd.config.secrets import AceKey, load_key
from mmd.faces.world import World, needs_paper, resolve
from mmd.sim import paper

WEB = "MMD_WEB"
"""The page is served, whatever the configuration says."""


@dataclass(frozen=True)
class Site:
    """One installation: its files, its configuration file, the environment it was given."""

    paths: Paths
    config: Path
    environ: Mapping[str, str]

    def settings(self) -> Settings:
        """Raises ConfigError."""
        settings = load(self.config)
        if not self.environ.get(WEB):
            return settings
        page = settings.web.model_copy(update={"enabled": True})
        return settings.model_copy(update={"web": page})

    def key(self, settings: Settings) -> AceKey:
        """Raises ConfigError."""
        return load_key(settings, self.paths, self.environ)

    def world(self, settings: Settings) -> World:
        """Raises ConfigError, Unavailable."""
        home = self.paths.home
        running = paper.running_pid(home) is not None
        return resolve(settings, self.key(settings), paper.address(home) if running else None)

    def read(self) -> tuple[Settings, World]:
        """The configuration as it is now, for the parent's plan."""
        settings = self.settings()
        return settings, self.world(settings)


def ensure_world(site: Site, settings: Settings, replay: Sequence[Path]) -> World:
    """Starts the simulated world where the configuration needs one, and says where it is."""
    site.paths.make()
    key = site.key(settings)
    if not needs_paper(settings):
        return resolve(settings, key, None)
    options = paper.PaperOptions(
        seed=settings.paper.seed,
        speed=settings.paper.speed,
        replay=tuple(replay),
        balances=settings.paper.balances,
        pairs={name: chosen.binance for name, chosen in settings.pairs.items()},
        batch=settings.ace.batch.submit_path is not None,
        live_rest_url=settings.rest_url,
    )
    return resolve(settings, key, paper.ensure_running(site.paths.home, options))
