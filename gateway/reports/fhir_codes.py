"""Which code of FHIR R4 stands for which state of a report.

DiagnosticReport.status (https://hl7.org/fhir/R4/valueset-diagnostic-report-status.html): a machine's draft is
`partial`, which may be incomplete or unverified; `preliminary` is said of what a person has looked at. A rejected
version is `cancelled`, for it never came to be a report. `entered-in-error` is not used: it withdraws a report after it
was final, and nothing that was signed is withdrawn here, only amended. Observation has no `partial`; its `preliminary`
is for what may be incomplete or unverified too, so a draft's observations are that, each with the banner as a note.
"""

from collections.abc import Mapping
from types import MappingProxyType

from domain.reports import ReportState

SYSTEM = "urn:sightline"
"""Where the identifiers and codes come from that no terminology has."""
LOINC = "http://loinc.org"
UCUM = "http://unitsofmeasure.org"
DICOM = "http://dicom.nema.org/resources/ontology/DCM"
TERMINOLOGY = "http://terminology.hl7.org/CodeSystem"
IMAGING_STUDY_CODE = "18748-4"
"""LOINC: Diagnostic imaging study."""

REPORT_STATUS: Mapping[ReportState, str] = MappingProxyType(
    {
        ReportState.DRAFT: "partial",
        ReportState.REVIEWED: "preliminary",
        ReportState.SIGNED: "final",
        ReportState.AMENDED: "amended",
        ReportState.REJECTED: "cancelled",
    }
)
OBSERVATION_STATUS: Mapping[ReportState, str] = MappingProxyType(
    {
        ReportState.DRAFT: "preliminary",
        ReportState.REVIEWED: "preliminary",
        ReportState.SIGNED: "final",
        ReportState.AMENDED: "amended",
        ReportState.REJECTED: "cancelled",
    }
)
