"""The applications, one folder each. They are found by scanning, so that adding one touches one folder.

A folder holds `contract.py` (parameters, result, and `APPLICATION`), `run.py`, `decide.py` and `samples/`. An
application is a plain function on a `Case`; it knows nothing of queues, models, SQL or HTTP, nor of other applications.
"""

from domain.applications.application import Application, Case, Finding, Sample
from domain.applications.catalogue import application, applications

__all__ = ["Application", "Case", "Finding", "Sample", "application", "applications"]
