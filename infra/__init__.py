"""Stores and servers: settings, objects, artifacts, catalogue, tracking, studies, local services. Knows no model."""
