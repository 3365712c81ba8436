"""Vendors whose documents are read by extractors."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column

from worklore.kernel.access import installation
from worklore.kernel.context import Context
from worklore.kernel.db import Record, Stamped
from worklore.kernel.errors import InvalidError
from worklore.kernel.resource import Resource
from worklore.kernel.types import Line, column
from worklore.tracking.authorship import sign_created, sign_updated
from worklore.tracking.shapes import VendorMetadata
from worklore.work.item_metadata import check_metadata


class VendorStatus(StrEnum):
    """Whether an extractor works."""

    operational = "operational"
    broken = "broken"


EXAMPLE: Final = {
    "format_support": {"excel": True, "csv": True, "pdf": False, "ocr": False},
    "test_results": {"passing": 41, "total": 43, "skipped": 1},
    "extractor_version": "2.4.0",
    "manifest_compliant": True,
}


class VendorExtractor(Stamped, Record):
    """A vendor whose documents an extractor reads, with the standing of that extractor."""

    __tablename__ = "vendor_extractors"
    __table_args__ = (Index(None, "status"),)

    name: Mapped[str] = mapped_column(Line(100), unique=True)
    status: Mapped[VendorStatus] = column(default=VendorStatus.operational)
    extractor_version: Mapped[str] = mapped_column(Line(50))
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata", info={"example": EXAMPLE})
    created_by: Mapped[str | None] = mapped_column(Line(255))
    updated_by: Mapped[str | None] = mapped_column(Line(255))


def check(ctx: Context, vendor: VendorExtractor, before: Mapping[str, Any]) -> None:
    """The metadata has its shape and names the version; a new status comes with fresh test results."""
    check_metadata(VendorMetadata, vendor.metadata_)
    if vendor.metadata_["extractor_version"] != vendor.extractor_version:
        raise InvalidError(
            f"extractor_version ({vendor.extractor_version}) must be that of the metadata, "
            f"{vendor.metadata_['extractor_version']}.",
            field="extractor_version",
        )
    if "status" in before:
        former: dict[str, Any] = before.get("metadata_", vendor.metadata_)
        if former["test_results"] == vendor.metadata_["test_results"]:
            raise InvalidError(
                f"status changes from {before['status']} to {vendor.status} with fresh test results only.",
                hint="Run the extractor's tests and send metadata with their results.",
                field="metadata",
            )
    sign_created(ctx, vendor)
    sign_updated(ctx, vendor, before)


VENDORS = Resource(
    model=VendorExtractor,
    name="vendor",
    plural="vendor-extractors",
    visible=installation,
    filters=(
        VendorExtractor.name,
        VendorExtractor.status,
        VendorExtractor.extractor_version,
        VendorExtractor.created_by,
        VendorExtractor.updated_by,
    ),
    search=(VendorExtractor.name,),
    columns=(VendorExtractor.name, VendorExtractor.status, VendorExtractor.extractor_version),
    by=(("name", VendorExtractor.name),),
    server_set=(VendorExtractor.created_by, VendorExtractor.updated_by),
    check=check,
)
