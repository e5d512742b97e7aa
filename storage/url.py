"""URLs of stores: which store is at one."""

from myriad.models.errors import StoreError
from myriad.storage.base import ObjectStore


def open_store(url: str) -> ObjectStore:
    """The store at `file:///directory`, `s3://bucket/prefix` or a directory's path.

    S3's endpoint, region and credentials are found the usual AWS ways (`AWS_ENDPOINT_URL`, profiles, roles...).

    Raises:
        StoreError: the URL is of another kind.
    """
    scheme, separator, rest = url.partition("://")
    if (scheme == "file" and separator and rest.startswith("/")) or (url and ":" not in url):
        from myriad.storage.file import FileStore

        return FileStore(rest or url)
    bucket, _, prefix = rest.partition("/")
    if scheme == "s3" and bucket:
        from myriad.storage.s3 import S3Store  # its library takes a while to import

        return S3Store(bucket, prefix)
    raise StoreError(url, "", "is not a store: name a directory, file:///directory or s3://bucket/prefix")
