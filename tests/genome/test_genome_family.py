"""What a person sees of a small family: log, branches, rejected, champion, lineage."""

from pathlib import Path

import pytest

from genome import Arena, ArenaError

TREE = """\
* 0541df5 scale: 1.0 → 0.0
| rejected: gradients
| reason: no gradient reaches transformer.wte
|
| * 050cc8b (champion, candidate/g002-0003-crossover) Cross 1 with 2
|/| val_search: 2.10
| |
| * d28b4fa (candidate/g001-0002-swap-norm-rmsnorm) Norm: LayerNorm → RMSNorm
| |
* | 0baf6e6 (candidate/g001-0001-swap-activation-relu2) MLP: GELU → ReLU² (1)
|/  val_search: 2.20
|
* 01a29dd (HEAD -> main, candidate/g000-0000-seed) Seed model
  val_search: 2.30

"""


@pytest.fixture
def family(arena, breed, seed_files):
    """A seed model, two children, their child, and one that fails a gate."""
    seedling = arena.plant(seed_files, seed=1337)
    mother = breed(arena, 1, seedling)
    father = breed(
        arena,
        2,
        seedling,
        operator="swap_norm",
        variant="rmsnorm",
        site="Block",
        words="Norm: LayerNorm → RMSNorm",
    )
    child = breed(arena, 3, mother, father, operator="crossover", variant="", site="", words="Cross 1 with 2")
    broken = breed(arena, 4, mother, operator="perturb_literal", variant="0", words="scale: 1.0 → 0.0")
    arena.note(
        {seedling: {"val_search": "2.30"}, mother: {"val_search": "2.20"}, child: {"val_search": "2.10"}}
    )
    arena.reject(broken, gate="gradients", reason="no gradient reaches\n  transformer.wte")
    arena.crown(child)
    return [seedling, mother, father, child, broken]


def test_the_family_tree_reads_well(arena, family, git):
    shown = ("--branches", "--glob=refs/foundry")  # the second for those that failed a gate
    log = git(arena.path, "log", "--graph", "--notes=foundry", "--date-order", "--format=%h%d %s%n%N", *shown)
    assert "\n".join(line.rstrip() for line in log.split("\n")) == TREE


def test_a_rejected_candidate_leaves_git_branch_and_keeps_its_reason(arena, family, git):
    broken = family[-1]
    assert git(arena.path, "branch", "--format=%(refname:short)") == (
        "candidate/g000-0000-seed\n"
        "candidate/g001-0001-swap-activation-relu2\n"
        "candidate/g001-0002-swap-norm-rmsnorm\n"
        "candidate/g002-0003-crossover\n"
        "champion\n"
        "main\n"
    )
    ref = "refs/foundry/rejected/g002-0004-perturb-literal-0"
    assert git(arena.path, "rev-parse", ref) == broken.commit + "\n"
    assert git(arena.path, "notes", "--ref=foundry", "show", ref) == (
        "rejected: gradients\nreason: no gradient reaches transformer.wte\n"
    )
    assert arena.files(broken)["model.py"].endswith("STEP = 4\n")


def test_rejecting_and_committing_again_change_nothing(arena, family, breed, git):
    _, mother, *_, broken = family
    refs = git(arena.path, "for-each-ref")
    arena.reject(broken, gate="gradients", reason="no gradient reaches transformer.wte")
    with Arena.open(arena.path) as again:
        same = breed(again, 4, mother, operator="perturb_literal", variant="0", words="scale: 1.0 → 0.0")
    assert same == broken
    assert git(arena.path, "for-each-ref") == refs


def test_candidates_come_back_as_they_went_in(arena, family):
    with Arena.open(arena.path) as reader:
        assert reader.candidates() == family
        assert reader.candidates(rejected=False) == family[:-1]


def test_packed_refs_are_read_all_the_same(arena, family, breed, git):
    arena.tidy()
    assert not (arena.path / ".git" / "refs" / "heads" / "main").exists()
    assert arena.candidates() == family
    late = breed(arena, 5, family[3])
    arena.reject(late, gate="syntax", reason="x")
    arena.reject(family[1], gate="late", reason="y")
    arena.crown(family[2])
    arena.note({late: {"a": 1}})
    assert arena.candidates(rejected=False) == [family[0], family[2], family[3]]
    assert git(arena.path, "fsck", "--strict", "--no-dangling") == ""


def test_lineage_follows_first_parents_and_needs_no_ref(arena, family, git):
    seedling, mother, _, child, broken = family
    git(arena.path, "branch", "-q", "-D", mother.branch)
    assert arena.lineage(child) == [seedling, mother, child]
    assert arena.lineage(broken) == [seedling, mother, broken]
    assert arena.lineage(seedling) == [seedling]


def test_diff_shows_the_edit(arena, family):
    seedling, mother, *_ = family
    assert arena.diff(seedling, seedling.commit) == ""
    assert arena.diff(seedling, mother).splitlines()[2:] == [
        "--- a/model.py",
        "+++ b/model.py",
        "@@ -2,3 +2,4 @@ import torch",
        " ",
        " ACTIVATION = 'gelu'",
        " WIDTH = 128",
        "+STEP = 1",
    ]


def test_a_commit_that_is_not_there_is_named(arena, family):
    with pytest.raises(ArenaError, match=f"has no {'0' * 39}1:experiment.yaml"):
        arena.files("0" * 39 + "1")


def test_the_champion_moves(arena, family, git):
    arena.crown(family[1])
    assert git(arena.path, "rev-parse", "champion") == family[1].commit + "\n"


def test_a_champion_that_is_checked_out_stays(arena, family, git, tmp_path: Path):
    child = family[3]
    git(arena.path, "worktree", "add", "-q", str(tmp_path / "look"), "champion")
    with pytest.raises(ArenaError, match=r"champion is checked out in .*look: switch to another branch"):
        arena.crown(family[1])
    arena.crown(child)
    assert git(arena.path, "rev-parse", "champion") == child.commit + "\n"
    assert git(tmp_path / "look", "status", "--porcelain") == ""


def test_a_champion_that_a_person_worked_on_stays(arena, family, git):
    git(arena.path, "switch", "-q", "champion")
    git(arena.path, "commit", "-q", "--allow-empty", "-m", "my own idea")
    git(arena.path, "switch", "-q", "main")
    with pytest.raises(ArenaError, match="not Foundry's"):
        arena.crown(family[1])


def test_a_rejected_branch_that_is_checked_out_stays_until_it_is_free(arena, family, git):
    mother = family[1]
    git(arena.path, "switch", "-q", mother.branch)
    arena.reject(mother, gate="late", reason="found out")
    assert git(arena.path, "status", "--porcelain", "--branch") == f"## {mother.branch}\n"
    assert mother not in arena.candidates(rejected=False)
    assert arena.candidates() == family
    git(arena.path, "switch", "-q", "main")
    arena.reject(mother, gate="late", reason="found out")
    assert mother.branch not in git(arena.path, "branch")


def test_a_rejected_branch_that_a_person_worked_on_stays(arena, family, git):
    mother = family[1]
    git(arena.path, "switch", "-q", mother.branch)
    git(arena.path, "commit", "-q", "--allow-empty", "-m", "my own idea")
    git(arena.path, "switch", "-q", "main")
    arena.reject(mother, gate="late", reason="found out")
    assert git(arena.path, "log", "-1", "--format=%s", mother.branch) == "my own idea\n"
    assert mother not in arena.candidates(rejected=False)
