"""Renderings of a report: JSON, text, PDF and FHIR. Every one of an unsigned version says that it is unverified."""
