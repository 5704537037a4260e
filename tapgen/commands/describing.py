"""Commands that need no AWS: render, graph, validate, package."""

from __future__ import annotations

import gc
from collections import Counter
from pathlib import Path

import click

from tapgen.commands import common
from tapgen.errors import Exit


@click.command()
@click.argument("tiers", nargs=-1, metavar="[TIER]...")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="The folder to write to.  [default: templates_out]",
)
@click.option("--check", is_flag=True, help="Write nothing; show what is stale, exit 3 if any is.")
@click.option("--stdout", "to_stdout", is_flag=True, help="Print instead of writing.")
@click.option(
    "--format", "form", type=click.Choice(["yaml", "json"]), default="yaml", show_default=True
)
def render(
    tiers: tuple[str, ...], out: Path | None, check: bool, to_stdout: bool, form: str
) -> int:
    """Write each tier's template for review, those that changed."""
    if check and to_stdout:
        raise click.UsageError("--check compares files and --stdout writes none: choose one.")
    # A short life with much to build and nothing to throw away: collecting costs a tenth of it.
    gc.disable()
    from tapgen import places
    from tapgen import render as rendering

    description = common.describe()
    chosen = description.chosen(tiers)
    wanted = rendering.texts({tier: description.documents[tier] for tier in chosen}, form)
    if to_stdout:
        for text in wanted.values():
            # A document separator, so that several are still one YAML stream.
            click.echo(("---\n" if form == "yaml" and len(wanted) > 1 else "") + text, nl=False)
        return Exit.DONE
    folder = out or _as_seen(places.TEMPLATES_FOLDER)
    stale = rendering.stale(wanted, folder, whole=not tiers)
    if check:
        for item in stale:
            click.echo(item.diff(), nl=False)
        for item in stale:
            common.say(f"{item.path}  {item.why}")
        if stale:
            common.say("stale: run tapgen render, read the diff, commit it")
        return Exit.DIFFERENT if stale else Exit.DONE
    rendering.write(stale)
    for item in stale:
        common.say(f"{item.path}  {'written' if item.wanted is not None else _LEFTOVER}")
    same = len(wanted) - sum(item.wanted is not None for item in stale)
    if same:
        common.say(f"{same} unchanged in {folder}")
    return Exit.DONE


_LEFTOVER = "leftover: no tier renders it; delete it if nobody needs it"


def _as_seen(folder: Path) -> Path:
    """``folder`` as the user would write it from where they stand."""
    try:
        return folder.relative_to(Path.cwd())
    except ValueError:
        return folder


@click.command()
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "mermaid", "dot", "json"]),
    default="text",
    show_default=True,
)
@click.option("--exports", is_flag=True, help="Name the exports that make each edge.")
def graph(form: str, exports: bool) -> None:
    """Show which stack needs which, in the order of deployment."""
    from tapgen import graph_text

    click.echo(graph_text.FORMS[form](common.describe().documents, exports), nl=False)


@click.command()
@click.argument("folder", required=False, type=click.Path(path_type=Path, file_okay=False))
@common.output_option("text", "json")
def validate(folder: Path | None, form: str) -> int:
    """Judge our templates, or those of a FOLDER, before AWS does."""
    from tapgen import render as rendering
    from tapgen import validate as validating

    if folder is None:
        documents = common.describe().documents
        sources = {
            tier: validating.Source(f"{tier}.yaml", dict(document), rendering.text(document))
            for tier, document in documents.items()
        }
    else:
        sources = validating.load(folder)
    findings = validating.run(sources)
    if form == "json":
        from dataclasses import asdict

        click.echo(rendering.as_json([asdict(finding) for finding in findings]))
    else:
        for finding in findings:
            place = f"{finding.file}: {finding.logical_id}" if finding.logical_id else finding.file
            click.echo(f"{place}: {finding.severity} {finding.rule}: {finding.message}")
            click.echo(f"    {finding.remedy}")
        found = Counter(finding.severity for finding in findings)
        told = (
            common.count(number, noun)
            for number, noun in (
                (found["error"], "error"),
                (found["warning"], "warning"),
                (found["info"], "note"),
            )
        )
        common.say(f"{common.count(len(sources), 'template')}: {', '.join(told)}")
    return Exit.FAILED if any(f.severity == "error" for f in findings) else Exit.DONE


@click.command()
@click.argument("names", nargs=-1, metavar="[PACKAGE]...")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=common.WORK_FOLDER / "packages",
    show_default=True,
    help="Where the zips are kept.",
)
def package(names: tuple[str, ...], out: Path) -> None:
    """Build the Lambda packages of lambda_src that changed."""
    from tapgen import package as packaging
    from tapgen import places

    found = names or packaging.discover(places.LAMBDA_SOURCE)
    built = [packaging.build(name, places.LAMBDA_SOURCE, out) for name in found]
    click.echo(packaging.listing(built))


COMMANDS = (render, graph, validate, package)
