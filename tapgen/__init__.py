"""The video processing pipeline as CloudFormation: described, rendered, deployed."""

__version__ = "0.1.0"
