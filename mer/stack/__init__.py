"""Many fusion models of a few shapes trained side by side: what `mer search` and studies train with."""
