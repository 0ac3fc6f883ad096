"""Stores and servers: settings, objects, artifacts, catalogue, tracking, services. Knows no model."""
