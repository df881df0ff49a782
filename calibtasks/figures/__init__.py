"""Figures of the tasks, as Plotly JSON."""
