"""Runs the relay and its references in turn under the same loads, and prints ratios.

Absolute figures of a shared machine mean little; the median of the ratios of neighbouring runs
means more. The server has one core and the generator another. Results are kept in ``bench/build``,
so an interrupted run goes on with ``--resume``; ``--write`` makes docs/performance.md of them.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench import ministack, page
from bench.disturbance import LIMIT, Watch
from bench.endurance import endure
from bench.generators import CannotBuild, CGenerator, OwnGenerator, build
from bench.shapes import NAIVE_TARGET, SHAPES, Shape
from bench.subjects import (
    Certificate,
    Running,
    run_ministack,
    run_naive,
    run_reference,
    run_relay,
)
from bench.tally import Result, Tally, make_rows, render
from natless.certificates import Authority

BUILD = Path(__file__).parent / "build"
SOURCES = Path(__file__).parent / "c"
ENDURED = ("start", "stall", "churn")


@dataclass(frozen=True, slots=True)
class Bench:
    """Starts servers and puts loads on them.

    Attributes:
        programs: the generator and the reference in C, None where they cannot be built.
        ministack: the program, None where it cannot be had.
        cores: of the server and of the generator.
        directory: for certificates and what servers complain about.
        certificate: for localhost.
    """

    programs: tuple[Path, Path] | None
    ministack: Path | None
    cores: tuple[int, int]
    directory: Path
    certificate: Certificate

    def measure(self, shape: Shape, *, repeat: int, tally: Tally) -> None:
        """Visits the subjects in turn, in reversed order on odd repetitions."""
        subjects = self._subjects_of(shape)
        with ExitStack() as stack:
            servers: dict[str, Running] = {}
            for repetition in range(repeat):
                for subject in subjects[:: -1 if repetition % 2 else 1]:
                    if tally.has(shape.name, subject, repetition):
                        continue
                    if subject not in servers and not shape.is_fresh:
                        servers[subject] = stack.enter_context(self._start(subject, shape))
                    numbers = self._load_calmly(shape, subject, servers.get(subject))
                    tally.add(Result(shape.name, subject, repetition, numbers))

    def _subjects_of(self, shape: Shape) -> Sequence[str]:
        missing = () if self.ministack else ("ministack",)
        return ["relay", *(one for one in shape.rivals if one not in missing)]

    def _start(self, subject: str, shape: Shape) -> AbstractContextManager[Running]:
        core, log = self.cores[0], self.directory / f"{subject}.log"
        match subject:
            case "relay":
                return run_relay(self.certificate, core=core, log=log)
            case "naive":
                return run_naive(self.certificate, core=core, log=log)
            case "ministack":
                assert self.ministack is not None
                return run_ministack(self.ministack, core=core, log=log)
        assert self.programs is not None
        program = self.programs[1]
        return run_reference(program, self.certificate, core=core, log=log, is_tls=shape.is_tls)

    def _load_calmly(self, shape: Shape, subject: str, running: Running | None) -> dict[str, Any]:
        """The numbers of one measurement; of two, where others disturbed the first."""
        first = self._load_once(shape, subject, running)
        if first["foreign"] <= LIMIT:
            return first
        second = self._load_once(shape, subject, running)
        return min(first, second, key=lambda numbers: float(numbers["foreign"]))

    def _load_once(self, shape: Shape, subject: str, running: Running | None) -> dict[str, Any]:
        with ExitStack() as once:
            server = running or once.enter_context(self._start(subject, shape))
            watch = Watch(server.pid)
            numbers = self._load(shape, server)
            return numbers | {"foreign": round(watch.foreign(), 3)}

    def _load(self, shape: Shape, server: Running) -> dict[str, Any]:
        if shape.mode in ENDURED:
            return endure(shape, server, core=self.cores[1])
        if self.programs is None:
            return OwnGenerator(self.cores[1]).run(shape, server)
        return CGenerator(self.programs[0], self.cores[1]).run(shape, server)


def main() -> int:
    """Measures and prints; 1 when a target was missed, 2 when a name is unknown."""
    options = _parse()
    known = [shape.name for shape in SHAPES]
    if unknown := set(options.shape or ()) - set(known):
        print(f"unknown: {', '.join(sorted(unknown))}; known are {', '.join(known)}")
        return 2
    BUILD.mkdir(exist_ok=True)
    programs = None if options.naive else _build(options.sources)
    shapes = [shape for shape in SHAPES if not options.shape or shape.name in options.shape]
    if programs is None:
        shapes = [_without_c(one) for one in shapes if one.name == "fan100" or one.mode in ENDURED]
    results = BUILD / ("results-naive.jsonl" if programs is None else "results.jsonl")
    if not options.resume:
        results.unlink(missing_ok=True)
    tally = Tally(results)
    with tempfile.TemporaryDirectory(prefix="natless-bench-") as directory:
        bench = Bench(
            programs,
            _install(shapes),
            options.cores,
            Path(directory),
            _issue(Path(directory)),
        )
        for shape in shapes:
            print(f"{shape.name} …", file=sys.stderr)
            bench.measure(shape, repeat=options.repeat, tally=tally)
    rows = make_rows(tally, shapes)
    print(render(rows))
    if options.write:
        page.write(page.Measured(page.describe_machine(options.cores), tuple(tally.results)))
    return 0 if all(row.is_reached for row in rows) else 1


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    add = parser.add_argument
    add("--shape", action="append", metavar="NAME", help="only this load; may be repeated")
    add("--repeat", type=int, default=3, metavar="N", help="of each load and server (3)")
    add("--resume", action="store_true", help="go on with the results that are there")
    add("--write", action="store_true", help="write docs/performance.md and README's sentence")
    add("--naive", action="store_true", help="compare with the naive relay, not with C")
    add("--cores", type=_parse_cores, default=(0, 1), metavar="S,G", help="server, generator (0,1)")
    add("--sources", type=Path, default=SOURCES, metavar="DIR", help="with loadgen.c, creference.c")
    options = parser.parse_args()
    if options.write and (options.shape or options.naive):
        parser.error("--write wants every load: leave --shape and --naive out")
    return options


def _parse_cores(text: str) -> tuple[int, int]:
    server, generator = map(int, text.split(","))
    if not {server, generator} <= os.sched_getaffinity(0):
        raise argparse.ArgumentTypeError(f"this process may use {os.sched_getaffinity(0)}")
    return server, generator


def _build(sources: Path) -> tuple[Path, Path] | None:
    try:
        return build(sources, BUILD)
    except CannotBuild as error:
        print(f"no C reference: {error}; comparing with a naive relay instead", file=sys.stderr)
        return None


def _install(shapes: Sequence[Shape]) -> Path | None:
    if not any("ministack" in shape.rivals for shape in shapes):
        return None
    try:
        return ministack.install(BUILD)
    except ministack.CannotInstall as error:
        print(f"no MiniStack: {error}; its figures are left out", file=sys.stderr)
        return None


def _issue(directory: Path) -> Certificate:
    authority = Authority.for_user(directory / "ca")
    pair = authority.issue(["localhost", "127.0.0.1"], directory=directory)
    return Certificate(pair.certificate, pair.key)


def _without_c(shape: Shape) -> Shape:
    if shape.mode in ENDURED:
        return shape
    unit = "deliveries per processor second"
    figure = replace(
        shape.figures[0], target=NAIVE_TARGET, aim=NAIVE_TARGET, unit=unit, against="naive"
    )
    return replace(shape, figures=(figure,))


if __name__ == "__main__":
    sys.exit(main())
