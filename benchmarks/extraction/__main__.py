"""`python -m benchmarks.extraction`: runs `benchmarks.extraction.cost`."""

from benchmarks.extraction.cost import main

if __name__ == "__main__":
    main()
