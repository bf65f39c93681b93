# Everything that must pass before a change lands, in a new virtual environment
ci:
    .ci/run

# The tests that CI runs
test:
    pytest

# All tests, the slow ones too
nightly:
    pytest -n 2 --override-ini addopts="-ra --strict-markers --strict-config"

lint:
    ruff check .
    ruff format --check .
    mypy
    lint-imports

fmt:
    ruff format .
    ruff check --fix .

# Rewrite the generated reference pages
docs:
    python -m operators.reference

# Hours of evolution among faults: are memory, descriptors, processes and disk flat?
soak:
    python -m benchmarks.soak --minutes 120
