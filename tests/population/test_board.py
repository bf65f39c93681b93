"""The leaderboard's picture and the plain lines, character by character."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from io import BytesIO, StringIO, TextIOWrapper

import pytest
from board_samples import FRAME_80, INCUMBENT, RUN, SCORED, SEED_MODEL
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from population import figures
from population.board import LiveBoard, PlainBoard, board_for, print_leaderboard, render
from population.leaderboard import rows_within
from population.standings import Failure, Row, Running, Standings, as_json

FRAME_120 = """\
Foundry  searching, generation 7 of 20                                           shakespeare_char 3f2a91c0 · runs/evolve
━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━──────────────────────────────────────────────────────────────────────────────
births 58/162  evaluated 45  duplicates 4  failed 1 (timed out 1)
rejected 6 (causality 3, overfit 2, size 1)
spent 12.3M tokens, 4.1 PFLOP  elapsed 2h00m  left about 2h30m  sandbox landlock

#  branch     edit                                 at   loss ±         Δparent    Δseed  params  tok/s  status     front
1  g006-0049  squared ReLU for GELU everywhere     T    1.8765±0.0160  -0.0121  -0.1236    804k  12.3k  incumbent  ◆
2  g003-0021  depth 4 → 5                          T/9  1.9800         +0.0081  -0.0201    1.0M   9.9k  promoted
3  v1         the seed model                       T    2.0002±0.0160           +0.0000    804k  15.4k  seed

g006-0049-swap-activation-relu2 is the new incumbent at 1.8765

▸ g007-0057 depth 4 → 5                                                                              T/9  seed 1   1h00m
▸ g006-0051 QK-norm                                                                                  T/3  seed 1   2h00m
"""  # noqa: E501


def drawn(standings: Standings, width: int) -> str:
    console = Console(file=StringIO(), width=width, force_terminal=True, no_color=True)
    console.print(render(standings, width))
    return console.file.getvalue()


def plain(*moments: Standings) -> str:
    console = Console(file=StringIO())
    with PlainBoard(console) as board:
        for standings in moments:
            board.show(standings)
    return console.file.getvalue()


@pytest.mark.parametrize(("width", "frame"), [(80, FRAME_80), (120, FRAME_120)])
def test_the_whole_picture(width: int, frame: str) -> None:
    assert drawn(RUN, width) == frame


def test_the_printed_leaderboard_is_the_same_picture() -> None:
    console = Console(file=StringIO(), width=80)
    print_leaderboard(RUN, console)
    assert console.file.getvalue() == FRAME_80


def test_a_wide_terminal_names_the_whole_branch() -> None:
    assert "g006-0049-swap-activation-relu2  " in drawn(RUN, 140)


def test_a_narrow_terminal_gives_up_columns_from_the_right_and_cuts_no_number() -> None:
    lines = drawn(RUN, 60).splitlines()
    assert lines[6:8] == [
        "# branch    edit          at  loss ±        Δpar  Δseed size",
        "1 g006-0049 squared ReLU… T   1.8765±.016 -0.012 -0.124 804k",
    ]


def test_an_output_without_unicode_gets_its_nearest_likeness() -> None:
    buffer = BytesIO()
    console = Console(file=TextIOWrapper(buffer, encoding="ascii"), width=80)
    console.print(render(replace(RUN, rows=(INCUMBENT, SCORED), log="", running=()), 80))
    console.file.flush()
    text = buffer.getvalue().decode("ascii")
    assert text.splitlines()[1] == "=" * 28 + "-" * 52
    assert text.splitlines()[6:] == [
        "# branch    edit             at  loss +-        dpar  dseed size tok/s status",
        "1 g006-0049 squared ReLU fo~ T   1.8765+-.016 -0.012 -0.124 804k 12.3k incumbent",
        "2 g003-0021 depth 4 -> 5     T/9 1.9800       +0.008 -0.020 1.0M  9.9k promoted",
    ]


def test_no_color_means_no_escape_sequence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    console = Console(file=StringIO(), width=80, force_terminal=True)
    console.print(render(RUN, 80))
    assert console.file.getvalue() == FRAME_80


def test_colour_marks_a_difference_only_beyond_the_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    console = Console(file=StringIO(), width=80, force_terminal=True, color_system="standard")
    console.print(render(RUN, 80))
    text = console.file.getvalue()
    assert "\x1b[32m-0.124\x1b[0m" in text
    assert " -0.012 " in text  # within sigma of 0.016
    assert " +0.008 " in text  # whose sigma nobody knows


def test_nothing_scored_yet() -> None:
    start = replace(
        RUN, rows=(), running=(), births=0, share=0.0, rejected={}, failed={}, seconds_left=None, log=""
    )
    assert drawn(start, 80).splitlines()[1:] == [
        "─" * 80,
        "births 0/162  evaluated 45  duplicates 4  failed 0",
        "rejected 0",
        "spent 12.3M tokens, 4.1 PFLOP  elapsed 2h00m  left unknown  sandbox landlock",
        "",
        "no candidate has a score yet",
    ]


@pytest.mark.parametrize(
    ("height", "running", "rows"),
    [(24, 0, 10), (24, 2, 10), (24, 3, 10), (24, 4, 9), (24, 16, 9), (20, 2, 7), (50, 16, 10)],
)
def test_a_full_run_fits_the_height_of_a_terminal(height: int, running: int, rows: int) -> None:
    standings = replace(RUN, rows=(SCORED,) * 12, running=RUN.running[:1] * running)
    console = Console(file=StringIO(), width=80)
    console.print(render(standings, 80, rows_within(standings, height)))
    lines = console.file.getvalue().splitlines()
    assert len(lines) < height
    assert sum(line.endswith("promoted") for line in lines) == rows


def test_more_trials_than_room_are_counted() -> None:
    lines = drawn(replace(RUN, running=RUN.running[:1] * 16), 80).splitlines()
    assert lines[-2:] == [FRAME_80.splitlines()[-2], "  and 13 more"]


finite = st.floats(allow_nan=False, allow_infinity=False)
counts = st.integers(0, 10**40)
rows = st.builds(
    Row,
    rank=st.integers(1, 10**6),
    name=st.text(),
    words=st.text(),
    rung=st.sampled_from(["T/9", "T/3", "T"]),
    loss=finite,
    sigma=st.none() | st.floats(0, 1e300),
    versus_parent=st.none() | finite,
    versus_seed=st.none() | finite,
    params=counts,
    tokens_per_second=st.floats(0, 1e300),
    status=st.sampled_from(["champion", "incumbent", "seed", "promoted", "scored"]),
    pareto=st.booleans(),
    flops=counts,
    kv_bytes=counts,
)
odd_standings = st.builds(
    Standings,
    arena=st.text(),
    dataset=st.text(),
    phase=st.sampled_from(["base", "search", "confirm", "done"]) | st.text(),
    generation=counts,
    generations=st.none() | counts,
    births=counts,
    births_planned=st.none() | counts,
    share=st.floats(0, 1),
    evaluated=counts,
    rejected=st.dictionaries(st.text(), counts),
    failed=st.dictionaries(st.text(), counts),
    duplicates=counts,
    tokens_spent=counts,
    flops_spent=counts,
    seconds=st.floats(0, 1e300),
    seconds_left=st.none() | st.floats(0, 1e300),
    rows=st.lists(rows, max_size=4).map(tuple),
    failures=st.lists(
        st.builds(Failure, name=st.text(), words=st.text(), kind=st.text(), reason=st.text())
    ).map(tuple),
    running=st.lists(
        st.builds(
            Running,
            name=st.text(),
            words=st.text(),
            rung=st.text(),
            seed=counts,
            started_seconds_ago=st.floats(0, 1e300),
        ),
        max_size=6,
    ).map(tuple),
    sandbox=st.text(),
    log=st.text(),
)


@settings(deadline=None)
@given(odd_standings, st.integers(1, 200), st.sampled_from(["utf-8", "ascii", "latin-1"]))
def test_no_standings_raise_or_leave_the_width(standings: Standings, width: int, encoding: str) -> None:
    buffer = BytesIO()
    console = Console(file=TextIOWrapper(buffer, encoding=encoding, newline="\n"), width=200)
    console.print(render(standings, width))
    console.file.flush()
    lines = buffer.getvalue().decode(encoding).removesuffix("\n").split("\n")
    assert max(cell_len(line) for line in lines) <= width
    assert len(lines) <= 17 + len(standings.rows)


@given(odd_standings)
def test_plain_lines_stay_lines(standings: Standings) -> None:
    finished = {(row.name, row.rung) for row in standings.rows}
    finished |= {(failure.name, failure.kind) for failure in standings.failures}
    confirmed = standings.phase == "confirm" and bool(standings.log)
    assert plain(standings, standings).count("\n") == len(finished) + confirmed


def test_plain_lines_as_results_come() -> None:
    first = replace(RUN, rows=(SCORED, SEED_MODEL), failures=())
    deeper = replace(SCORED, rung="T/3", loss=1.8)
    text = plain(first, first, RUN, replace(RUN, rows=(deeper, INCUMBENT, SEED_MODEL)))
    assert text == (
        "g003-0021-depth-5  T/9  1.9800  Δparent +0.0081  Δseed -0.0201  1.0M  9.9k tok/s  promoted\n"
        "v1  T  2.0002  Δseed +0.0000  804k  15.4k tok/s  seed\n"
        "g001-0009-attention-mqa  rejected  causality: logits at 3 change with token 5\n"
        "g006-0049-swap-activation-relu2  T  1.8765  Δparent -0.0121  Δseed -0.1236  804k  12.3k tok/s"
        "  incumbent\n"
        "g003-0021-depth-5  T/3  1.8000  Δparent +0.0081  Δseed -0.0201  1.0M  9.9k tok/s  promoted\n"
    )


def test_plain_lines_without_unicode() -> None:
    buffer = BytesIO()
    board = PlainBoard(Console(file=TextIOWrapper(buffer, encoding="ascii")))
    board.show(replace(RUN, rows=(SEED_MODEL,), failures=()))
    board.say("depth 4 → 5")
    assert buffer.getvalue() == b"v1  T  2.0002  dseed +0.0000  804k  15.4k tok/s  seed\ndepth 4 -> 5\n"


def test_the_output_decides_the_board() -> None:
    assert isinstance(board_for(Console(file=StringIO(), force_terminal=False)), PlainBoard)
    dumb = Console(file=StringIO(), force_terminal=True, _environ={"TERM": "dumb"})
    assert isinstance(board_for(dumb), PlainBoard)
    terminal = Console(file=StringIO(), force_terminal=True, _environ={"TERM": "xterm"})
    assert isinstance(board_for(terminal), LiveBoard)


def test_a_closed_pipe_does_not_end_the_run() -> None:
    script = """
import sys
from dataclasses import replace
from rich.console import Console
from board_samples import RUN, SCORED
from population.board import board_for
console = Console()
with board_for(console) as board:
    board.show(RUN)
    sys.stdin.readline()
    for number in range(2000):
        board.show(replace(RUN, rows=(replace(SCORED, name=str(number)),)))
        board.say("more")
console.print("the report")
print("to its end", file=sys.stderr)
"""
    process = start(script, stdout=subprocess.PIPE)
    assert process.stdout.readline().startswith("g001-0009")
    process.stdout.close()
    process.stdin.write("\n")
    process.stdin.close()
    assert (process.stderr.read(), process.wait()) == ("to its end\n", 0)
    process.stderr.close()


def start(script: str, **streams: int) -> subprocess.Popen[str]:
    path = os.pathsep.join([os.path.dirname(__file__), *sys.path])
    return subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": path, "PYTHONIOENCODING": "utf-8", "TERM": "xterm-256color"},
        **streams,
    )


def test_standings_survive_json() -> None:
    body = json.loads(json.dumps(as_json(RUN)))
    assert body["rows"][0]["name"] == "g006-0049-swap-activation-relu2"
    assert (
        Standings(
            **{
                **body,
                "rows": tuple(Row(**row) for row in body["rows"]),
                "failures": tuple(Failure(**failure) for failure in body["failures"]),
                "running": tuple(Running(**trial) for trial in body["running"]),
            }
        )
        == RUN
    )


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (999, "999"),
        (999.5, "1.0k"),
        (12_345, "12.3k"),
        (99_949, "99.9k"),
        (99_951, "100k"),
        (804_096, "804k"),
        (999_499, "999k"),
        (999_500, "1.0M"),
        (1_235_814_400, "1.2G"),
    ],
)
def test_counts(number: float, text: str) -> None:
    assert figures.count(number) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (59.9, "59s"), (60, "1m00s"), (192, "3m12s"), (3_840, "1h04m"), (183_600, "2d03h")],
)
def test_durations(seconds: float, text: str) -> None:
    assert figures.duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(-0.01213, "-0.0121"), (0.1, "+0.1000"), (-0.00001, "+0.0000"), (None, ""), (250, "+2e+02")],
)
def test_differences(value: float | None, text: str) -> None:
    assert figures.delta(value, 4) == text
