"""The metadata of a dataset, as a notebook shows it."""

from kayrros_openapi.models import DatasetMetadata


class Metadata(DatasetMetadata):
    """The metadata of a dataset: the generated model, with a view for notebooks.

    `start_date` and `stop_date` are epoch milliseconds (UTC). Any field may be UNSET or None.
    """

    def _repr_html_(self) -> str:
        from kayrros_ext._results.html import metadata_html

        return metadata_html(self)
