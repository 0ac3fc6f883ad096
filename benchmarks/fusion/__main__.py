"""`python -m benchmarks.fusion`: runs `benchmarks.fusion.cost`."""

from benchmarks.fusion.cost import main

if __name__ == "__main__":
    main()
