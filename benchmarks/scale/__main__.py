"""Command of the benchmark of growth."""

from benchmarks.scale.growth import main

if __name__ == "__main__":
    main()
