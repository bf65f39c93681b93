"""The lines of metrics.jsonl survive a stop at any moment."""

from __future__ import annotations

from pathlib import Path

from foundry.training.record import Evaluation, Record

REST = {"train_loss": 2.0, "bits_per_byte": 3.0, "tokens_per_second": 9.0}


def evaluation(step: int, val_loss: float) -> Evaluation:
    return Evaluation(step=step, tokens=8 * step, val_loss=val_loss, **REST)


def test_going_back_forgets_later_lines_and_torn_ones(tmp_path: Path) -> None:
    written = [evaluation(step, val_loss) for step, val_loss in ((10, 3.0), (20, 1.0), (30, 2.0))]
    record = Record(tmp_path / "metrics.jsonl")
    for one in written:
        record.add(one)
    lines = (tmp_path / "metrics.jsonl").read_text()
    (tmp_path / "metrics.jsonl").write_text(lines + '{"step": 40, "tok')
    reader = Record(tmp_path / "metrics.jsonl", writes=False)
    reader.go_back(100)
    assert reader.evaluations == written
    assert reader.best == written[1]
    record = Record(tmp_path / "metrics.jsonl")
    record.go_back(29)
    assert record.evaluations == written[:2]
    assert (tmp_path / "metrics.jsonl").read_text() == "".join(lines.splitlines(keepends=True)[:2])
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_the_earlier_of_equals_is_best_and_nothing_is_before_the_first(tmp_path: Path) -> None:
    record = Record(tmp_path / "metrics.jsonl")
    record.go_back(0)
    assert record.best is None
    assert not list(tmp_path.iterdir())
    record.add(evaluation(1, 2.0))
    record.add(evaluation(2, 2.0))
    assert record.best == record.evaluations[0]


def test_a_process_that_does_not_write_leaves_the_file_alone(tmp_path: Path) -> None:
    record = Record(tmp_path / "metrics.jsonl", writes=False)
    record.add(evaluation(1, 2.0))
    assert len(record.evaluations) == 1
    assert not list(tmp_path.iterdir())
