"""A report of a model as data, and its rendering as one HTML page: figures with their sources, tables, charts as inline SVG."""
