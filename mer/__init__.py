"""The library of multimodal emotion recognition: no orchestration, no stores, usable alone in a notebook."""
