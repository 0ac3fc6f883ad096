"""`python -m benchmarks.full_size`: runs `benchmarks.full_size.step`."""

from benchmarks.full_size.step import main

if __name__ == "__main__":
    main()
