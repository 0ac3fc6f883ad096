"""What a view learns: layer study, adaptation, alignment, fusion, ensemble, search."""
