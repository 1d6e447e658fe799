"""What goes wrong with the Hugging Face hub, told in one line with its mend."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from httpx2 import HTTPError
from huggingface_hub.errors import GatedRepoError, HFValidationError, RepositoryNotFoundError, RevisionNotFoundError

from vlmfrontier.errors import UserError

_OF_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS}


@contextmanager
def told(where: str, repository: str, revision: str, kind: str = "model") -> Iterator[None]:
    """Raise `UserError` for what the hub, the network or the disk refuses inside the `with`.

    `where` names the key that asks for `repository`, `revision` the one that asks for its revision, each with its
    value; `kind` is what the repository holds.
    """
    try:
        yield
    except GatedRepoError:
        mend = f"accept the licence on the {kind}'s page, then `hf auth login` with that account"
        raise UserError(f"{where}: the {kind} is behind a licence; {mend}") from None
    except RevisionNotFoundError:
        raise UserError(f"{revision}: {repository} has no such commit, tag or branch") from None
    except RepositoryNotFoundError:
        raise UserError(f"{where}: the hub has no such {kind}, or none that this account may see") from None
    except HFValidationError as error:
        raise UserError(f"{where}: {str(error).splitlines()[0]}") from None
    # The hub's own errors, no connection at all, what the disk says, and what hf_xet raises when a download breaks off.
    except (HTTPError, OSError, RuntimeError) as error:
        raise UserError(f"{where}: {refusal(error)}") from None


def refusal(error: Exception) -> str:
    """Return what an error of network or disk means for a fetch, with its mend."""
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    if isinstance(error, OSError) and error.errno in _OF_DISK:
        return f"cannot be written ({reason}); make room or choose another folder, then call again"
    return f"cannot be fetched ({reason}); this step needs a node with network"
