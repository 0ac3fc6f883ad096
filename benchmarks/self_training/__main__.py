"""`python -m benchmarks.self_training`: runs `benchmarks.self_training.rounds`."""

from benchmarks.self_training.rounds import main

if __name__ == "__main__":
    main()
