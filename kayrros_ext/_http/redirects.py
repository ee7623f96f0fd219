"""Redirects, which downloads alone follow: to an object store, say (assumed)."""

import httpx

from kayrros_ext._config.settings import is_loopback

MAX_REDIRECTS = 5


def send(client: httpx.Client, request: httpx.Request) -> httpx.Response:
    """The streamed answer to a request, after at most five redirects; to be closed by the caller.

    Never to http from https, nor to http of another machine. The token is not for other hosts: httpx takes it off, and
    the login signs for the data host alone.

    Raises:
        httpx.TooManyRedirects: there were more.
        httpx.UnsupportedProtocol: one leads where none may.
        httpx.RequestError: no answer came.
    """
    for _ in range(MAX_REDIRECTS + 1):
        response = client.send(request, stream=True, follow_redirects=False)
        if response.next_request is None:
            return response
        response.close()
        before, request = request, response.next_request
        url = request.url
        if not (url.scheme == "https" or (url.scheme == before.url.scheme == "http" and is_loopback(url))):
            words = f"it redirects to {url.scheme} of {url.host or 'no host'}, which is not followed"
            raise httpx.UnsupportedProtocol(words, request=before)
    raise httpx.TooManyRedirects(f"more than {MAX_REDIRECTS} redirects", request=request)
