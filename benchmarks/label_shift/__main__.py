"""`python -m benchmarks.label_shift`: runs `benchmarks.label_shift.estimators`."""

from benchmarks.label_shift.estimators import main

if __name__ == "__main__":
    main()
