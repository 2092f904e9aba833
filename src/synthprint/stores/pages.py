"""The objects below a prefix, page by page: the drivers' own listings gather all of them first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from synthprint.addresses import scheme
from synthprint.stores.drivers import driver
from synthprint.stores.retrying import retried


class StoredObject(NamedTuple):
    """An object: its key below the bucket, its size in bytes, and a text that is another when it has changed."""

    key: str
    size: int
    stamp: str


Page = tuple[list[StoredObject], str | None]  # and what the next one is asked for by


def objects(address: str) -> Iterator[StoredObject]:
    """All objects whose address begins with `address`, in the order of their keys' bytes.

    Raises:
        StoreError: the store cannot be listed, from here on.
        MissingDependency: its driver is not installed.
    """
    store, page_of = driver(address), _PAGES[scheme(address) or ""]
    bucket, _, prefix = address.partition("://")[2].partition("/")
    token: str | None = None
    while True:
        page, token = retried(address, lambda after=token: page_of(store, bucket, prefix, after))  # type: ignore[misc]
        yield from page
        if not token:
            return


def _s3(store: Any, bucket: str, prefix: str, token: str | None) -> Page:
    after = {"ContinuationToken": token} if token else {}
    page = store.call_s3("list_objects_v2", Bucket=bucket, Prefix=prefix, **after)
    found = [StoredObject(item["Key"], item["Size"], item["ETag"].strip('"')) for item in page.get("Contents", ())]
    return found, page.get("NextContinuationToken")


def _gs(store: Any, bucket: str, prefix: str, token: str | None) -> Page:
    after = {"pageToken": token} if token else {}
    page = store.call("GET", "b/{}/o", bucket, prefix=prefix, json_out=True, **after)
    found = [
        StoredObject(item["name"], int(item["size"]), str(item.get("generation") or item.get("etag")))
        for item in page.get("items", ())
    ]
    return found, page.get("nextPageToken")


def _az(store: Any, bucket: str, prefix: str, token: str | None) -> Page:
    from fsspec.asyn import sync

    async def page() -> Page:
        async with store.service_client.get_container_client(container=bucket) as container:
            pages = container.list_blobs(name_starts_with=prefix).by_page(token)
            found = [StoredObject(blob.name, blob.size, blob.etag.strip('"')) async for blob in await anext(pages)]
            return found, pages.continuation_token

    return sync(store.loop, page)


_PAGES = {"s3": _s3, "gs": _gs, "az": _az}
