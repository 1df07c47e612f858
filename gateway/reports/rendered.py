"""What a rendering of a report is made of, gathered once and the same for every form."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Self
from uuid import UUID

from pydantic import ValidationError

from domain.applications.reporting.result import ReportingResult
from domain.errors import Conflict, NotFound
from domain.reports import Report, Version


@dataclass(frozen=True)
class UsedModel:
    """A model that was asked for the draft."""

    name: str
    revision: str


@dataclass(frozen=True)
class Rendered:
    """A version of a report, and what it is about.

    `subject` is the pseudonymous id of the patient: nothing here knows another. `study_uid` is that of the
    de-identified files, `drafted_at` when the machine answered.
    """

    report_id: UUID
    report: Report
    version: Version
    result: ReportingResult
    subject: str
    drafted_at: datetime
    models: tuple[UsedModel, ...] = ()
    study_uid: str | None = None

    @classmethod
    def of(
        cls,
        report_id: UUID,
        report: Report,
        number: int,
        subject: str,
        drafted_at: datetime,
        models: Sequence[UsedModel] = (),
        study_uid: str | None = None,
    ) -> Self:
        """Gather a version by its number.

        Raises NotFound where there is no such version, Conflict where its content is of another release.
        """
        version = next((version for version in report.versions if version.number == number), None)
        if version is None:
            raise NotFound(f"the report has versions 1 to {len(report.versions)}; there is no version {number}")
        try:
            result = ReportingResult.model_validate(version.body)
        except ValidationError as error:
            raise Conflict(f"version {number} was written by another release, and cannot be rendered") from error
        return cls(report_id, report, version, result, subject, drafted_at, tuple(models), study_uid)

    @property
    def superseded_by(self) -> int | None:
        """The number of the signed version that took the place of this one."""
        stands = self.report.in_force
        if stands is None or not self.version.verified or stands.number == self.version.number:
            return None
        return stands.number
