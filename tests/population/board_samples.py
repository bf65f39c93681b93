"""A run to draw. Its clocks stand where half a minute more or less is not seen."""

from dataclasses import replace

from population.standings import Failure, Row, Running, Standings

SEED_MODEL = Row(
    rank=3,
    name="v1",
    words="the seed model",
    rung="T",
    loss=2.00019,
    sigma=0.016,
    versus_parent=None,
    versus_seed=0.0,
    params=804_096,
    tokens_per_second=15_420.0,
    status="seed",
    pareto=False,
    flops=10**13,
    kv_bytes=2048,
)
INCUMBENT = replace(
    SEED_MODEL,
    rank=1,
    name="g006-0049-swap-activation-relu2",
    words="squared ReLU for GELU everywhere",
    loss=1.87654,
    versus_parent=-0.01213,
    versus_seed=-0.12365,
    tokens_per_second=12_345.0,
    status="incumbent",
    pareto=True,
)
SCORED = replace(
    SEED_MODEL,
    rank=2,
    name="g003-0021-depth-5",
    words="depth 4 → 5",
    rung="T/9",
    loss=1.98,
    sigma=None,
    versus_parent=0.0081,
    versus_seed=-0.0201,
    params=1_001_216,
    tokens_per_second=9_876.0,
    status="promoted",
)
RUN = Standings(
    arena="runs/evolve",
    dataset="shakespeare_char 3f2a91c0",
    phase="search",
    generation=7,
    generations=20,
    births=58,
    births_planned=162,
    share=58 / 162,
    evaluated=45,
    rejected={"size": 1, "causality": 3, "overfit": 2},
    failed={"timed out": 1},
    duplicates=4,
    tokens_spent=12_345_678,
    flops_spent=4_123_000_000_000_000,
    seconds=7_200.0,
    seconds_left=9_031.0,
    rows=(INCUMBENT, SCORED, SEED_MODEL),
    failures=(
        Failure(
            name="g001-0009-attention-mqa",
            words="one key-value head",
            kind="rejected",
            reason="causality: logits at 3 change with token 5",
        ),
    ),
    running=(
        Running(
            name="g007-0057-depth-5", words="depth 4 → 5", rung="T/9", seed=1, started_seconds_ago=3_600.0
        ),
        Running(name="g006-0051-qknorm", words="QK-norm", rung="T/3", seed=1, started_seconds_ago=7_200.0),
    ),
    sandbox="landlock",
    log="g006-0049-swap-activation-relu2 is the new incumbent at 1.8765",
)

FRAME_80 = """\
Foundry  searching, generation 7 of 20   shakespeare_char 3f2a91c0 · runs/evolve
━━━━━━━━━━━━━━━━━━━━━━━━━━━━────────────────────────────────────────────────────
births 58/162  evaluated 45  duplicates 4  failed 1 (timed out 1)
rejected 6 (causality 3, overfit 2, size 1)
spent 12.3M tokens, 4.1 PFLOP  elapsed 2h00m  left about 2h30m  sandbox landlock

# branch    edit              at  loss ±        Δpar  Δseed size tok/s status
1 g006-0049 squared ReLU for… T   1.8765±.016 -0.012 -0.124 804k 12.3k incumbent
2 g003-0021 depth 4 → 5       T/9 1.9800      +0.008 -0.020 1.0M  9.9k promoted
3 v1        the seed model    T   2.0002±.016        +0.000 804k 15.4k seed

g006-0049-swap-activation-relu2 is the new incumbent at 1.8765

▸ g007-0057 depth 4 → 5                                      T/9  seed 1   1h00m
▸ g006-0051 QK-norm                                          T/3  seed 1   2h00m
"""
