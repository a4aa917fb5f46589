"""`fgdata report`: reads one run or two and writes the folder. The order of work; what is counted and drawn is elsewhere."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pipeline.config.model import ConfigError
from pipeline.report.blocks import Panel
from pipeline.report.difference import differences
from pipeline.report.funnel import SHOWN, Funnel, count_funnel
from pipeline.report.gather import Counting, gather
from pipeline.report.pairs import paired
from pipeline.report.panels.audit import AuditPanel
from pipeline.report.panels.captions import CaptionsPanel
from pipeline.report.panels.given import GivenPanel
from pipeline.report.panels.grounding import GroundingPanel
from pipeline.report.panels.negatives import NegativesPanel
from pipeline.report.panels.regions import RegionsPanel
from pipeline.report.panels.speed import SpeedPanel
from pipeline.report.render import assets, render, script
from pipeline.report.run_tables import Coverage, RunTables, open_run
from pipeline.report.samples.records import Sample, draw_samples
from schemas.audit import FirstSentence

RECORD = "report.json"
SAMPLES_A_FILE = 50
FORMAT = 1


@dataclass(frozen=True)
class Counted:
    """One run with its figures."""

    label: str
    run: RunTables
    funnel: Funnel
    panels: Sequence[Panel]
    coverage: dict[str, Coverage]


def panels(run: RunTables, opening: FirstSentence | None = None) -> list[Counting]:
    """The page's panels, in its order. A new one is its file in panels/ and its row here. `opening`: by a model, where one was asked."""
    return [
        CaptionsPanel(),
        GroundingPanel(),
        RegionsPanel(),
        NegativesPanel(),
        AuditPanel(opening),
        GivenPanel(run),
        SpeedPanel(run),
    ]


def write_report(
    configs: Sequence[Path],
    out: Path,
    num_samples: int,
    max_images: int,
    now: datetime,
    by_model: Callable[[str], FirstSentence] | None = None,
) -> dict[str, Any]:
    """Write the report of one configuration, or of two side by side, into `out`; returns what report.json holds.

    `by_model`: asks a model how far first sentences find their images, of the exported set at a place.

    Raises: ConfigError where `out` holds something else; whatever opening a run raises.
    """
    earlier = _earlier_files(out)
    counted = [_count(label, path, max_images, by_model) for label, path in zip("AB", configs, strict=False)]
    files = assets()
    samples, pictures = draw_samples([(each.run, each.funnel) for each in counted], num_samples)
    files |= pictures
    scripts = []
    for start in range(0, len(samples), SAMPLES_A_FILE):
        scripts.append(f"data/samples-{start // SAMPLES_A_FILE:04d}.js")
        content = [sample.model_dump(mode="json") for sample in samples[start : start + SAMPLES_A_FILE]]
        files[scripts[-1]] = script("fgdata.add", content).encode()
    page = _page_content(counted, samples, now)
    files["index.html"] = render("index.html.j2", **page).encode()
    files["samples.html"] = render("samples.html.j2", scripts=scripts, **page).encode()
    record = _record(counted, samples, [*files, RECORD], now)
    _write(out, files | {RECORD: json.dumps(record, indent=1, sort_keys=True).encode()}, earlier)
    return record


def _count(label: str, path: Path, max_images: int, by_model: Callable[[str], FirstSentence] | None) -> Counted:
    run = open_run(path)
    place = run.job.config.export_to
    if by_model and not place:
        raise ConfigError(f"{path}: --model reads images and captions from the exported data set, and there is no export_to")
    funnel = count_funnel(run)
    counting = panels(run, by_model(place) if by_model and place else None)
    coverage = gather(run, counting, max_images)
    return Counted(label, run, funnel, [panel.panel() for panel in counting], coverage)


def _page_content(counted: Sequence[Counted], samples: Sequence[Sample], now: datetime) -> dict[str, Any]:
    is_pair = len(counted) == 2
    return {
        "runs": counted,
        "is_pair": is_pair,
        "statuses": SHOWN,
        "panels": paired([each.panels for each in counted]),
        "differences": differences(counted[0].run, counted[1].run) if is_pair else [],
        "num_samples": len(samples),
        "num_shared": sum(all(sample.runs) for sample in samples),
        "written": now.strftime("%Y-%m-%d %H:%M %Z").strip(),
    }


def _record(counted: Sequence[Counted], samples: Sequence[Sample], files: Sequence[str], now: datetime) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "written": now.isoformat(timespec="seconds"),
        "samples": len(samples),
        "runs": [
            {
                "config": str(each.run.path),
                "images_in": each.funnel.images_in,
                "corpus": each.run.state.account.as_json(),
                "ok": each.funnel.num_ok,
                "lost": each.funnel.num_lost,
                "pending": each.funnel.num_pending,
                "is_conserved": each.funnel.is_conserved,
                "stages": [
                    {
                        "name": stage.name,
                        "images": {status: stage.statuses[status] for status in SHOWN},
                        "lost": [{"status": s, "reason": r, "images": count} for (s, r), count in sorted(stage.lost.items())],
                    }
                    for stage in each.funnel.stages
                ],
                "figures_from": {stage: vars(coverage) for stage, coverage in each.coverage.items()},
            }
            for each in counted
        ],
        "files": sorted(files),
    }


def _earlier_files(out: Path) -> list[str]:
    """The files of an earlier report in the folder.

    Raises: ConfigError where the folder holds something that no report wrote.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return []
    try:
        files = json.loads((out / RECORD).read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(f"--out {out}: the folder holds something else than a report; name an empty or a new one") from error
    return [name for name in files if isinstance(name, str) and (out / name).resolve().is_relative_to(out.resolve())]


def _write(out: Path, files: dict[str, bytes], earlier: Sequence[str]) -> None:
    for name, content in files.items():
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    for name in set(earlier) - set(files):
        (out / name).unlink(missing_ok=True)
