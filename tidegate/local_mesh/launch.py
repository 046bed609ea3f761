"""Becomes a program that does not outlive who started it: `launch.py PROCESS COMMAND [ARGUMENT]...`.

It runs for a moment as a script of its own, without our packages: the kernel is told to end this process with its parent (PR_SET_PDEATHSIG
of prctl(2)), signals are what a program expects, and then it is the command. The exit status is that of a shell where it cannot be run.
"""

import ctypes
import errno
import os
import signal
import sys

_SET_PARENT_DEATH_SIGNAL = 1


def main() -> None:
    """Does not return."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(1)  # it is gone already
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)  # which Python has ignored
    try:
        os.execvp(command[0], command)  # noqa: S606  # what the Pod's command says
    except OSError as error:
        print(f"cannot run {command[0]!r}: {os.strerror(error.errno or 0)}", file=sys.stderr)
        sys.exit(127 if error.errno == errno.ENOENT else 126)


if __name__ == "__main__":
    main()
