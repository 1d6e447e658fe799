"""What a user may cause, which scripts print without a traceback; and how jobs leave without a fault."""


class UserError(Exception):
    """A mistake in the input: the message names what is wrong, where it stands, and the mend."""


NODE_FAULT = 86
"""Exit status of a job whose node is at fault."""


class NodeFault(Exception):  # noqa: N818 — no error of the program
    """The node that a job runs on is at fault, not the job: the message names the node and what is wrong with it."""


class Stopped(SystemExit):
    """A job was asked to stop and did: nothing failed, and its next attempt goes on where it was."""


class TakenOver(SystemExit):
    """Another process has taken a job over: this one writes nothing more."""
