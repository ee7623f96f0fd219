# Generated from openapi.yaml. Do not edit: edit openapi.yaml, then run `make generate`.
from http import HTTPStatus
from typing import Any
from urllib.parse import quote
from uuid import UUID

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.error_response import ErrorResponse
from ...models.processing_result_filter import ProcessingResultFilter
from ...models.processing_result_time_series import ProcessingResultTimeSeries
from ...types import UNSET, Response, Unset


def _get_kwargs(
    dataset_id: UUID,
    *,
    body: ProcessingResultFilter | Unset = UNSET,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/v1/processingresult/dataset/{dataset_id}".format(
            dataset_id=quote(str(dataset_id), safe=""),
        ),
    }

    if not isinstance(body, Unset):
        _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> ErrorResponse | ProcessingResultTimeSeries | None:
    if response.status_code == 200:
        response_200 = ProcessingResultTimeSeries.from_dict(response.json())

        return response_200

    if response.status_code == 400:
        response_400 = ErrorResponse.from_dict(response.json())

        return response_400

    if response.status_code == 401:
        response_401 = ErrorResponse.from_dict(response.json())

        return response_401

    if response.status_code == 403:
        response_403 = ErrorResponse.from_dict(response.json())

        return response_403

    if response.status_code == 404:
        response_404 = ErrorResponse.from_dict(response.json())

        return response_404

    if response.status_code == 405:
        response_405 = ErrorResponse.from_dict(response.json())

        return response_405

    if response.status_code == 409:
        response_409 = ErrorResponse.from_dict(response.json())

        return response_409

    if response.status_code == 500:
        response_500 = ErrorResponse.from_dict(response.json())

        return response_500

    if client.raise_on_unexpected_status:
        raise errors.UnexpectedStatus(response.status_code, response.content)
    else:
        return None


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[ErrorResponse | ProcessingResultTimeSeries]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    dataset_id: UUID,
    *,
    client: AuthenticatedClient | Client,
    body: ProcessingResultFilter | Unset = UNSET,
) -> Response[ErrorResponse | ProcessingResultTimeSeries]:
    """Get dataset results

     The content of a dataset: its assets, the dates of each asset, the metrics of each date. Without a
    filter, all of
    it. The request reads and changes nothing, although it is a POST.

    Observed: the gateway answers 504 for the results of a large dataset.

    Args:
        dataset_id (UUID):
        body (ProcessingResultFilter | Unset): Selects results. An omitted field does not filter.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorResponse | ProcessingResultTimeSeries]
    """

    kwargs = _get_kwargs(
        dataset_id=dataset_id,
        body=body,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    dataset_id: UUID,
    *,
    client: AuthenticatedClient | Client,
    body: ProcessingResultFilter | Unset = UNSET,
) -> ErrorResponse | ProcessingResultTimeSeries | None:
    """Get dataset results

     The content of a dataset: its assets, the dates of each asset, the metrics of each date. Without a
    filter, all of
    it. The request reads and changes nothing, although it is a POST.

    Observed: the gateway answers 504 for the results of a large dataset.

    Args:
        dataset_id (UUID):
        body (ProcessingResultFilter | Unset): Selects results. An omitted field does not filter.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorResponse | ProcessingResultTimeSeries
    """

    return sync_detailed(
        dataset_id=dataset_id,
        client=client,
        body=body,
    ).parsed


async def asyncio_detailed(
    dataset_id: UUID,
    *,
    client: AuthenticatedClient | Client,
    body: ProcessingResultFilter | Unset = UNSET,
) -> Response[ErrorResponse | ProcessingResultTimeSeries]:
    """Get dataset results

     The content of a dataset: its assets, the dates of each asset, the metrics of each date. Without a
    filter, all of
    it. The request reads and changes nothing, although it is a POST.

    Observed: the gateway answers 504 for the results of a large dataset.

    Args:
        dataset_id (UUID):
        body (ProcessingResultFilter | Unset): Selects results. An omitted field does not filter.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorResponse | ProcessingResultTimeSeries]
    """

    kwargs = _get_kwargs(
        dataset_id=dataset_id,
        body=body,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    dataset_id: UUID,
    *,
    client: AuthenticatedClient | Client,
    body: ProcessingResultFilter | Unset = UNSET,
) -> ErrorResponse | ProcessingResultTimeSeries | None:
    """Get dataset results

     The content of a dataset: its assets, the dates of each asset, the metrics of each date. Without a
    filter, all of
    it. The request reads and changes nothing, although it is a POST.

    Observed: the gateway answers 504 for the results of a large dataset.

    Args:
        dataset_id (UUID):
        body (ProcessingResultFilter | Unset): Selects results. An omitted field does not filter.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorResponse | ProcessingResultTimeSeries
    """

    return (
        await asyncio_detailed(
            dataset_id=dataset_id,
            client=client,
            body=body,
        )
    ).parsed
