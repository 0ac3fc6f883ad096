"""The fusion models, one file a model, and the layers they share. Named in `mer.fusion.interface`."""
