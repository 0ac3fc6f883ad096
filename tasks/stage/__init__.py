"""The one way to run a stage: keys, references, work folders, the workspace."""
