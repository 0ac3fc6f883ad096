"""`python -m benchmarks.search`: runs `benchmarks.search.protocols`."""

from benchmarks.search.protocols import main

if __name__ == "__main__":
    main()
