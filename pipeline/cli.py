"""The command `fgdata`. Each command imports what it needs when it runs, so that --help answers at once."""

import sys

if __name__ == "__main__":  # as pipeline/__main__.py does
    from pipeline.commands.supervise import from_the_start

    from_the_start()

from functools import partial
from pathlib import Path
from typing import Annotated, cast, get_args

import typer

from pipeline.commands.endings import say as _say
from pipeline.commands.endings import say_outcome
from pipeline.commands.endings import user_errors as _user_errors

app = typer.Typer(
    name="fgdata",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

ConfigPath = Annotated[Path, typer.Argument(metavar="CONFIG", help="The run's YAML; `fgdata init` writes one.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Until = Annotated[str | None, typer.Option("--until", metavar="STAGE", help="Leave out the stages after this one.")]
Unverified = Annotated[
    bool, typer.Option("--allow-unverified", help="Also release negatives that no judge has looked at; the card says so.")
]
MaxFailed = Annotated[float | None, typer.Option("--max-failed", metavar="RATE", min=0, max=1, help="Exit 1 if more of the images failed.")]

FirstSentenceModel = Annotated[
    str | None,
    typer.Option("--model", metavar="CHECKPOINT", help="Ask it how far first sentences find their images, instead of shared words."),
]


def _say_version(is_asked: bool) -> None:
    if is_asked:
        from importlib.metadata import version

        typer.echo(f"fgdata {version('fgdata')}")
        raise typer.Exit


@app.callback()
def fgdata(
    version: Annotated[bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """Turn images into fine-grained image-text training data: resumable, on Ray."""


@app.command()
def init(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write the configuration.")] = Path("fgdata.yaml"),
    kind: Annotated[str, typer.Option("--for", help="laptop, one-gpu, gpu-24gb, gpu-80gb, one-node, cluster or openai.")] = "one-gpu",
    as_json: AsJson = False,
) -> None:
    """Write a commented configuration to start from."""
    from pipeline.commands.templates import installed_spacy_model, write_template

    with _user_errors():
        model = installed_spacy_model()
        write_template(path, kind, model)
        reader = f"spacy ({model} is installed)" if model else "chunker (spacy finds more: pip install 'fgdata[spacy]' and en_core_web_sm)"
        _say(
            as_json,
            {"written": str(path), "for": kind, "phrases": "spacy" if model else "chunker"},
            f"wrote {path} with phrases: {reader}; next: edit it, then `fgdata doctor {path}` and `fgdata run {path}`",
        )


@app.command()
def doctor(
    config: Annotated[Path | None, typer.Argument(metavar="[CONFIG]", help="Also check what this run needs.")] = None,
    ask: Annotated[bool, typer.Option("--ask", help="Start the engines and ask each stage's question once.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check this installation, and with a configuration everything its run needs."""
    from pipeline.commands.doctor import examine

    with _user_errors():
        checks = examine(config, ask)
        lines = [f"{'ok  ' if c.is_ok else 'FAIL'} {c.name}: {c.detail}{'' if c.is_ok else '; ' + c.act}" for c in checks]
        _say(as_json, {"checks": [vars(check) for check in checks]}, "\n".join(lines))
        if any(not check.is_ok for check in checks):
            raise typer.Exit(2)


@app.command()
def plan(config: ConfigPath, until: Until = None, as_json: AsJson = False) -> None:
    """Say what would run and why, stage by stage."""
    from pipeline.api import failures, open_job, refuse
    from pipeline.commands.texts import plan_output
    from pipeline.run.export_place import check_export_place

    with _user_errors():
        job = open_job(config, until)
        refuse(failures(check_export_place(job.config, job.graph)))
        _say(as_json, *plan_output(job, job.state()))


@app.command()
def run(
    config: ConfigPath,
    until: Until = None,
    address: Annotated[str | None, typer.Option("--address", help="Ray cluster to join: auto, host:port.")] = None,
    schedule: Annotated[str | None, typer.Option("--schedule", help="auto, stages or streaming.")] = None,
    max_failed: MaxFailed = None,
    allow_unverified: Unverified = False,
    as_json: AsJson = False,
) -> None:
    """Run all that is pending; run it again to resume."""
    from pipeline import api
    from pipeline.api import placed
    from pipeline.run.watch.progress import JsonLines, shown

    with _user_errors():
        job = placed(api.open_job(config, until, allow_unverified=allow_unverified), address, schedule)
        say_outcome(api.run(job, JsonLines if as_json else shown), config, as_json, max_failed)


@app.command()
def rehearse(
    config: ConfigPath,
    images: Annotated[int, typer.Option("--images", min=1, help="Of the corpus; taken from its first shards.")] = 24,
    only: Annotated[list[str] | None, typer.Option("--only", metavar="FAULT", help="One of driver, worker, hang, poison, ...")] = None,
    keep: Annotated[Path | None, typer.Option("--keep", metavar="DIR", help="Leave the runs in this new folder.")] = None,
    as_json: AsJson = False,
) -> None:
    """Try this run with rehearsed engines and injected faults, in a scratch folder. Exit 0: it withstands them, 1: it does not."""
    from pipeline.rehearse.command import rehearse as try_out

    with _user_errors():
        content, text, code = try_out(config, images, only or [], keep, lambda words: typer.echo(words, err=True))
        _say(as_json, content, text)
        if code:
            raise typer.Exit(code)


@app.command()
def estimate(
    config: ConfigPath,
    sample: Annotated[int, typer.Option("--sample", min=1, help="Images to run, drawn over all of the corpus.")] = 200,
    price: Annotated[float | None, typer.Option("--price", metavar="USD", min=0, help="Of a GPU-hour; costs are given with it.")] = None,
    as_json: AsJson = False,
) -> None:
    """Say what this run will take: hours, tokens, storage, cost, stage by stage, from a sample that is run with its own engines."""
    from pipeline.estimate.command import estimate as measure
    from pipeline.run.watch.progress import JsonLines, shown

    with _user_errors():
        _say(as_json, *measure(config, sample, price, JsonLines if as_json else shown, lambda words: typer.echo(words, err=True)))


@app.command()
def export(config: ConfigPath, max_failed: MaxFailed = None, allow_unverified: Unverified = False, as_json: AsJson = False) -> None:
    """Run all that the export needs, and write the data set."""
    from pipeline import api
    from pipeline.run.watch.progress import JsonLines, shown

    with _user_errors():
        job = api.open_job(config, api.exporting_stage(), allow_unverified=allow_unverified)
        say_outcome(api.run(job, JsonLines if as_json else shown), config, as_json, max_failed)


@app.command()
def status(config: ConfigPath, as_json: AsJson = False) -> None:
    """Count images by status and reason, stage by stage."""
    from pipeline.api import open_job
    from pipeline.commands.texts import status_output

    with _user_errors():
        _say(as_json, *status_output(open_job(config).state()))


@app.command()
def report(
    config: ConfigPath,
    against: Annotated[Path | None, typer.Option("--against", metavar="CONFIG", help="Another run, shown beside it.")] = None,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The folder to write.")] = Path("report-out"),
    sample: Annotated[int, typer.Option("--sample", min=0, help="Images in the sample browser.")] = 200,
    figures_from: Annotated[int, typer.Option("--figures-from", min=1, help="Images whose texts and boxes are counted.")] = 200_000,
    model: FirstSentenceModel = None,
    as_json: AsJson = False,
) -> None:
    """Write a folder of static pages: where images were lost, what was made, samples to look at."""
    from pipeline.commands.training import first_sentence_of
    from pipeline.report.command import report as write

    with _user_errors():
        _say(as_json, *write(config, against, out, sample, figures_from, partial(first_sentence_of, model) if model else None))


@app.command()
def audit(
    path: Annotated[str, typer.Argument(metavar="PATH", help="An exported data set, or a file or folder of another format.")],
    format: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="fgdata (the default where there is a manifest.json), fgovd, sugarcrepe (SugarCrepe++ too), valse, vlchecklist, negbench, "
            "winoground, cola or jsonl.",
        ),
    ] = None,
    max_items: Annotated[int, typer.Option("--max-items", min=1, help="Of more distinct items a sample is audited.")] = 50_000,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out and count entries that are wrong, instead of refusing the set.")
    ] = False,
    model: FirstSentenceModel = None,
    as_json: AsJson = False,
) -> None:
    """Ask what texts alone give away of which one is true. Exit 0: pass, 3: leaks, 4: too few items to say."""
    from pipeline.commands.audit import audit_set

    with _user_errors():
        content, text, code = audit_set(path, format, max_items, model=model, skip_bad=skip_bad)
        _say(as_json, content, text)
        if code:
            raise typer.Exit(code)


@app.command()
def hashes(
    path: Annotated[str, typer.Argument(metavar="PATH", help="A benchmark's images: a folder, tars, Parquet; local or s3://.")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Where to write the list.")] = Path("benchmark-hashes.txt"),
    as_json: AsJson = False,
) -> None:
    """Write the perceptual hashes of a benchmark's images: a list for `corpus.benchmark_hashes`, which keeps them out."""
    from pipeline.commands.hashes import write_hashes

    with _user_errors():
        _say(as_json, *write_hashes(path, out))


@app.command()
def shares(
    config: ConfigPath,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Where to write the list.")] = Path("shares.json"),
    as_json: AsJson = False,
) -> None:
    """Write which values the things of a finished sample have: a list for `stages.hard_negative.shares`, by which new ones are drawn."""
    from pipeline.api import open_job
    from pipeline.commands.shares import write_shares

    with _user_errors():
        _say(as_json, *write_shares(open_job(config), out))


@app.command()
def retry(
    config: ConfigPath,
    only: Annotated[str, typer.Option("--only", help="Which rows: failed (lost regions and values too) or quarantined.")] = "failed",
    stage: Annotated[str | None, typer.Option("--stage", help="Of this stage alone.")] = None,
    reason: Annotated[str | None, typer.Option("--reason", help="With this reason alone.")] = None,
    as_json: AsJson = False,
) -> None:
    """Ask for failed rows, and for children that got no answer, to be run again by the next run; what was ok is kept."""
    from pipeline.api import open_job
    from pipeline.commands.upkeep import Retried, ask_retries
    from pipeline.config.model import ConfigError

    with _user_errors():
        if only not in get_args(Retried):
            raise ConfigError(f"--only {only}: {' or '.join(get_args(Retried))} is what can be retried")
        job = open_job(config)
        if stage is not None and stage not in job.config.stages:
            raise ConfigError(f"--stage {stage}: the stages are {', '.join(job.config.stages)}")
        asked = ask_retries(job.state(), stage, reason, cast("Retried", only))
        total = sum(asked.values())
        _say(
            as_json,
            {"units": asked},
            f"{total} units asked for again; `fgdata run {config}` runs them" if total else f"no {only} row matches",
        )


@app.command()
def gc(config: ConfigPath, yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False, as_json: AsJson = False) -> None:
    """Remove tables that this configuration's current state does not use: other versions, other inputs; and old temporary files."""
    from pipeline.api import open_job
    from pipeline.commands.upkeep import superseded

    with _user_errors():
        job = open_job(config)
        removal = superseded(job.state(), job.config.export_to)
        if removal.stale and (yes or typer.confirm(removal.question(), err=True)):
            removal.carry_out()
        _say(as_json, removal.as_json(), removal.line())


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Everything is written here.")] = Path("demo-out"),
    images: Annotated[int, typer.Option("--images", min=1, help="Held-out scenes.")] = 96,
    seed: Annotated[int, typer.Option("--seed", min=1000, help="Of the scenes; training used those below 1000.")] = 1000,
    engine: Annotated[str, typer.Option("--engine", help="transformers or vllm.")] = "transformers",
    photographs: Annotated[
        bool, typer.Option("--photographs", help="Scikit-image's photographs and a reader's answers instead, with a report; no model.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run the whole line on a small corpus with ground truth and small real models, and score it."""
    from pipeline.commands.texts import outcome_text
    from pipeline.demo.run import run_demo, score_table
    from pipeline.run.watch.progress import shown

    if photographs:
        from pipeline.demo.photographs.run import photographs_text, run_photographs

        with _user_errors():
            outcome, record = run_photographs(out, None if as_json else shown)
            _say(as_json, record, f"{outcome_text(outcome)}\n{photographs_text(out)}")
        return
    with _user_errors():
        outcome, score = run_demo(out, images, seed, engine, None if as_json else shown)
        _say(as_json, score, f"{outcome_text(outcome)}\n{score_table(score, out)}")


@app.command()
def train(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="The training's YAML; docs/training.md shows one.")],
    stage: Annotated[int, typer.Option("--stage", min=1, max=2, help="1: captions; 2: captions, regions and hard negatives.")],
    as_json: AsJson = False,
) -> None:
    """Train a model on an exported data set; run it again to resume."""
    from pipeline.commands import training

    with _user_errors():
        line = training.ProgressLine()
        try:
            result = training.train(config, stage, line)
        finally:
            line.end()
        _say(as_json, {"model": str(result)}, f"the model is in {result}")


@app.command(name="eval")
def evaluate(
    checkpoint: Annotated[str, typer.Argument(metavar="CHECKPOINT", help="Folder or hub name of a CLIP, plain or trained here.")],
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="Exported data set, local or s3://; or an FG-OVD .jsonl.")],
    images: Annotated[Path | None, typer.Option("--images", metavar="DIR", help="Image folder of an FG-OVD file.")] = None,
    as_json: AsJson = False,
) -> None:
    """Measure a model on a data set, beside what its texts give away without the image."""
    from pipeline.commands import training

    with _user_errors():
        figures = training.evaluate(checkpoint, dataset, images)
        _say(as_json, figures, training.figures_table(figures))


def main() -> None:
    """The program: commands that start Ray run in a process of their own."""
    from pipeline.commands import supervise

    sys.exit(supervise.main(app))


if __name__ == "__main__":
    main()
