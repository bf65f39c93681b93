"""`python -m foundry.lm_eval ...` is `lm_eval ...`, with our models as `--model foundry`.

For example: `--model foundry --model_args model=runs/train/baseline --tasks mine --include_path tasks`.
"""

import sys


def main() -> None:
    """Run the harness; without it, say how to have it."""
    try:
        from lm_eval.__main__ import cli_evaluate
    except ImportError:
        sys.exit("foundry.lm_eval needs lm-evaluation-harness: pip install -e '.[lm-eval]'")
    import foundry.cli.harness  # noqa: F401

    cli_evaluate()


if __name__ == "__main__":
    main()
