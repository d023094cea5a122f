"""Evidence, a verdict and a report from one YAML spec."""

__version__ = "0.1.0"
