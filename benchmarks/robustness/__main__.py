"""What wrong labels do to training, and what bears or stops them: wrong by chance, and wrong on purpose.

    python -m benchmarks.robustness [--quick] [--json PATH] [--corpus PATH] [--encoder SOURCE] [--features PATH]

Runs `benchmarks.robustness.noisy_labels` and `benchmarks.robustness.poisoned_labels`, both with their default seeds. JSON keys:
theirs, with `noisy_` and `poisoned_` in front.
"""

from pathlib import Path

from benchmarks.command import Figure, parser, write_figures
from benchmarks.robustness import noisy_labels, poisoned_labels
from benchmarks.self_training.rounds import ravdess_of


def main() -> None:
    """Run both benchmarks."""
    chosen, corpus = ravdess_of(parser(__doc__ or ""))
    noisy = noisy_labels.run(Path(chosen.corpus), chosen.encoder, chosen.features, 2, quick=chosen.quick)
    poisoned = poisoned_labels.measured(corpus, 2 if chosen.quick else 10)
    figures: dict[str, Figure] = {f"noisy_{key}": value for key, value in noisy.items()}
    write_figures(chosen.json, figures | {f"poisoned_{key}": value for key, value in poisoned.items()})


if __name__ == "__main__":
    main()
