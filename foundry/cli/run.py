"""What a run of evolve.py is made of: begun anew, or taken up again from its arena."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import operators
from foundry.cli.experiment_text import absolute, with_value
from foundry.cli.genes import around, from_scratch
from foundry.cli.prepared import prepare, read_text
from foundry.data import dataset
from foundry.errors import UserError, unknown
from foundry.seed import is_foreign
from foundry.training import experiment
from foundry.zoo import evolution
from genome import Arena, Candidate
from operators import Source, numbers
from population import samplers, selection
from population.archive import OBJECTIVES
from population.ledger import Ledger, LedgerError
from population.ledger_file import DOCTOR
from population.ledger_shape import require_run
from population.orders import Menu
from population.settings import Settings

LEDGER = "ledger.sqlite"
GENTLE = (1, 2, 3)  # edits of a birth where weights are pretrained: many leave little of what they know


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All that a run is determined by; recorded in its ledger before anything else happens."""

    search: Settings
    model: str  # text of the seed model
    experiment: str  # text of the experiment
    operators: tuple[str, ...]
    dataset: str  # name and first 8 hexadecimal digits of its sha256
    data: str  # sha256
    trial_seconds: float  # limits of one trial, which may decide its outcome
    trial_memory: int  # bytes
    bounds: Mapping[str, int]  # the most that parameters and the like may be

    @property
    def menu(self) -> Menu:
        """What births may be made of."""
        present = numbers.present(Source(self.model, self.experiment))
        pretrained = experiment.parse(self.experiment).checkpoint is not None
        genes = around(present) if pretrained else from_scratch()
        return Menu(operators=self.operators, genes=genes, numbers=present)

    @property
    def foreign(self) -> bool:
        """Whether the seed model is a file from outside."""
        return is_foreign(experiment.parse(self.experiment).base_model)

    @property
    def text(self) -> str:
        """What git keeps of the plan, for the day when the ledger is lost."""
        return json.dumps(self.as_json(), indent=1, sort_keys=True) + "\n"

    def as_json(self) -> dict[str, Any]:
        """Return the plan as JSON's own types."""
        return asdict(self)

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Plan:
        """Read what `as_json` gave."""
        fields = dict(body["search"])
        tuples = {name: tuple(value) for name, value in fields.items() if isinstance(value, list)}
        search = Settings(**{**fields, **tuples})
        return cls(
            **{
                **body,
                "search": search,
                "operators": tuple(body["operators"]),
            }
        )


@dataclass(frozen=True, kw_only=True)
class Run:
    """An open run: its plan, its arena, its ledger and its candidate 0."""

    plan: Plan
    arena: Arena
    ledger: Ledger
    seed: Candidate

    def close(self) -> None:
        """Let go of the ledger and the arena."""
        self.ledger.close()
        self.arena.close()


def plan_run(
    *,
    experiment_path: str,
    seed_model: str | None = None,
    init_from: str | None = None,
    data: str | None = None,
    operator_names: Sequence[str] = (),
    trial_seconds: int = 900,
    trial_memory: int = 2048,
    bounds: Mapping[str, int] | None = None,
    **search: Any,
) -> Plan:
    """Read and check everything that a new run needs, before anything is written.

    Limits of a trial are given in seconds and MiB; `search` are fields of Settings.

    Raises:
        UserError: a file, name, key or value is wrong.
    """
    text = read_text(experiment_path)
    experiment.parse(text, experiment_path)
    if data is not None:
        text = with_value(text, ("data", "dataset"), absolute(data))
    if seed_model is not None and seed_model.startswith(evolution.PREFIX):
        text = evolution.begun(text, seed_model, init_from)
    else:
        if seed_model is not None:
            text = with_value(text, ("base_model",), absolute(seed_model))
        if init_from is not None:
            text = evolution.started(text, init_from)
    if "kv_bytes" in search.get("objectives", ()):
        text = _with_cache(text)
    prepared = prepare(text, experiment_path)
    parsed = prepared.experiment
    scored_on = dataset.unselected(parsed.data)
    known = {*operators.load(), numbers.NAME}
    for wrong in sorted(set(operator_names) - set(known)):
        raise unknown("operator", wrong, known)
    _check_names(search)
    search["tokens"] = search.pop("tokens", None) or parsed.training.max_iters * parsed.tokens_per_step
    if parsed.checkpoint is not None:
        search.setdefault("sizes", GENTLE)
    settings = Settings(**search, update=parsed.tokens_per_step)
    if settings.tokens // settings.share(0) < parsed.tokens_per_step:
        least = parsed.tokens_per_step * settings.eta ** (settings.height - 1)
        raise UserError(
            f"{settings.tokens} tokens are too few: the first rung needs a step, so at least {least}"
        )
    return Plan(
        search=settings,
        model=prepared.model,
        experiment=text,
        operators=tuple(sorted(set(operator_names) or known)),
        dataset=f"{Path(scored_on.name).name} {scored_on.sha256[:8]}",
        data=scored_on.sha256,
        trial_seconds=trial_seconds,
        trial_memory=trial_memory << 20,
        bounds=dict(bounds or {}),
    )


def _with_cache(text: str) -> str:
    """Let an experiment say how keys and values are kept, so that it can be changed."""
    return with_value(text, ("decoding", "kv_cache"), experiment.parse(text).decoding.kv_cache)


def _check_names(search: Mapping[str, Any]) -> None:
    """Refuse a name that nothing goes by."""
    if (policy := search.get("policy", "tournament")) not in selection.names():
        raise unknown("policy", policy, selection.names())
    if (sampler := search.get("sampler", "tpe")) not in samplers.names():
        raise unknown("sampler", sampler, samplers.names())
    for objective in search.get("objectives", ()):
        if objective not in OBJECTIVES:
            raise unknown("objective", objective, OBJECTIVES)


def begin(path: str, plan: Plan) -> Run:
    """Make a new run in the arena at `path`.

    Raises:
        UserError: the arena holds a run already, or is a folder of something else.
    """
    arena = open_arena(path)
    try:
        ledger_path = arena.state / LEDGER
        if ledger_path.exists():
            raise UserError(
                f"{path} holds a run already: go on with --resume, or give another folder with --arena"
            )
        ledger = Ledger.create(ledger_path, plan.as_json())
        try:
            seed = _plant(arena, plan)
            arena.keep_plan(plan.text)
            return Run(plan=plan, arena=arena, ledger=ledger, seed=seed)
        except BaseException:  # nothing half-written: this arena is another run's
            ledger.close()
            ledger_path.unlink()
            raise
    except BaseException:
        arena.close()
        raise


def take_up(path: str, generations: int | None = None) -> Run:
    """Open the run in the arena at `path` to go on with it, for more generations if so asked.

    Raises:
        UserError: there is no run.
    """
    if not Path(path, ".git").exists():
        raise UserError(f"{path} is no arena: there is no run to resume")
    arena = Arena.open(path)
    try:
        ledger = Ledger.open(arena.state / LEDGER)
        try:
            require_run(ledger)
            _check_data(plan_of(ledger))
            if generations is not None:
                ledger.record("extended", {"generations": generations})
            plan = plan_of(ledger)
            seed = _plant(arena, plan)
            arena.keep_plan(plan.text)
            return Run(plan=plan, arena=arena, ledger=ledger, seed=seed)
        except BaseException:
            ledger.close()
            raise
    except BaseException:
        arena.close()
        raise


def plan_of(ledger: Ledger) -> Plan:
    """Read the plan of a run, with the generations that it was last extended to."""
    try:
        plan = Plan.from_json(ledger.settings)
    except (TypeError, KeyError, ValueError, AssertionError) as error:
        raise LedgerError(f"{ledger.path} has settings that are no plan of a run: {DOCTOR}") from error
    for extension in ledger.events("extended"):
        plan = replace(plan, search=replace(plan.search, **extension))
    return plan


def _check_data(plan: Plan) -> None:
    data = experiment.parse(plan.experiment).data
    if dataset.unselected(data).sha256 != plan.data:
        raise UserError(
            f"data {data.dataset!r} is not what it was when the run began: put it back, or begin anew"
        )


def _plant(arena: Arena, plan: Plan) -> Candidate:
    return arena.plant({"model.py": plan.model, "experiment.yaml": plan.experiment}, seed=plan.search.seed)


def open_arena(path: str) -> Arena:
    """Open the repository at `path`, or make one where there is nothing.

    Raises:
        UserError: there is something else.
    """
    folder = Path(path)
    if (folder / ".git").exists():
        return Arena.open(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{path} is not a git repository and not an empty folder: give another --arena")
    return Arena.create(folder)
