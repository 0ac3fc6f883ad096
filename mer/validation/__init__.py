"""Checks of whole tables (pandera): a corpus before it is catalogued, features before they are trained on."""
